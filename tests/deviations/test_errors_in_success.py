"""
Replies whose status is a success and whose body is an error: nothing counts as done.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import pytest

from asyncstore import Storage, UnavailableError
from tests.deviations.good_replies import Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import opened, serving

_XML: Final = Said(
    200,
    {"Content-Type": "application/xml"},
    b"<Error><Code>InternalError</Code><Message>try again</Message></Error>",
)


def _json(value: Any) -> Said:
    return Said(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


ERRORS: Final[Mapping[str, Said]] = {
    "s3": _XML,
    "gcs": _json({"error": {"code": 500, "message": "try again", "errors": [{"reason": "internalError"}]}}),
    "azure": _XML,
    "oci": _json({"code": "InternalServerError", "message": "try again"}),
}

#: What the provider sends for ``abort_multipart_upload`` on Azure is nothing, and GCS has no tags.
VERBS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Storage], Awaitable[Any]]]]] = {
    "put": (("s3", "gcs", "azure", "oci"), lambda storage: storage.put("t/k", b"data")),
    "delete": (("s3", "gcs", "azure", "oci"), lambda storage: storage.delete("t/k")),
    "set_tags": (("s3", "azure"), lambda storage: storage.set_tags("t/k", {"a": "b"})),
    "abort": (("s3", "gcs", "oci"), lambda storage: storage.abort_multipart_upload("t/k", "u")),
}

CASES: Final = [(provider, verb) for verb, (providers, _) in VERBS.items() for provider in providers]


@pytest.mark.parametrize(("provider", "verb"), CASES)
async def test_error_with_status_200(provider: str, verb: str) -> None:
    """
    The request is sent again, as after a 500; the last failure leaves open whether it was carried out.
    """
    writes = ("PUT", "POST", "DELETE")
    said = _XML if (provider, verb) == ("gcs", "abort") else ERRORS[provider]

    def answer(asked: Asked) -> tuple[Said, Sending]:
        return (said if asked.method in writes else server.good(asked)), Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        with pytest.raises(UnavailableError) as failure:
            await VERBS[verb][1](storage)

    assert failure.value.ambiguous
    assert 3 == sum(asked.method in writes for asked in server.asked)


@pytest.mark.parametrize("provider", ERRORS)
async def test_batch_with_status_200(provider: str) -> None:
    """
    No key counts as deleted.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = lambda asked: (ERRORS[provider], Sending())
        result = await storage.bulk_delete(["t/a", "t/b"])

    assert (0, 2) == (result.done, result.failed)


@pytest.mark.parametrize("provider", ["azure", "gcs"])
async def test_error_in_an_answer_of_a_batch(provider: str) -> None:
    """
    The answer to one key of a batch has a status of its own, which may be a success in spite of its error.
    """
    error = ERRORS[provider].body

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked)
        for line in (b"202 Accepted\r\n\r\n", b"204 No Content\r\n\r\n"):
            said.body = said.body.replace(line, b"200 OK\r\nContent-Type: text/plain\r\n\r\n" + error + b"\r\n", 1)
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        result = await storage.bulk_delete(["t/a", "t/b"])

    assert result.failed


@pytest.mark.parametrize(
    ("document", "alone"),
    [
        ({}, ["a", "b"]),
        ({"failed": None}, ["a", "b"]),
        ({"failed": []}, ["a", "b"]),
        ({"deleted": [{"objectName": "a"}]}, ["b"]),
        ({"deleted": [{"objectName": "a"}], "failed": [{"objectName": "b", "statusCode": 404}]}, []),
    ],
)
async def test_keys_that_oci_does_not_name(document: Mapping[str, Any], alone: list[str]) -> None:
    """
    A key that the reply to a batch does not name is deleted by a request of its own.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        return (server.good(asked) if asked.method == "DELETE" else _json(document)), Sending()

    async with serving("oci") as server, opened("oci", server.url) as storage:
        server.answer = answer
        result = await storage.bulk_delete(["a", "b"])

    assert (2, 0) == (result.done, result.failed)
    assert alone == sorted(asked.path[-1] for asked in server.asked if asked.method == "DELETE")

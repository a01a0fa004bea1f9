"""
Operations of several requests that succeed and achieve nothing: they end.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any, Final

import pytest

from asyncstore import UnavailableError
from tests.deviations.good_replies import Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import Answer, Server, opened, serving

# Of tests.deviations.server: the requests that achieve nothing and are followed by another.
_ATTEMPTS: Final = 3


def _json(value: Any) -> tuple[Said, Sending]:
    return Said(200, {"Content-Type": "application/json"}, json.dumps(value).encode()), Sending()


def _rewriting(server: Server, *replies: dict[str, Any]) -> Answer:
    """
    Answer rewrites with *replies*, then with the last one.
    """
    left = list(replies)

    def answer(asked: Asked) -> tuple[Said, Sending]:
        if "rewriteTo" not in asked.path:
            return server.good(asked), Sending()
        return _json(left.pop(0) if len(left) > 1 else left[0])

    return answer


def _rewrites(server: Server) -> int:
    return sum("rewriteTo" in asked.path for asked in server.asked)


@pytest.mark.parametrize("total", ["0", None])
@pytest.mark.parametrize("changes", [True, False])
async def test_rewrite_without_progress(total: str | None, *, changes: bool) -> None:
    """
    A rewrite that stays where it is ends in an error, whatever its token is.
    """
    tokens = count()

    def answer(asked: Asked) -> tuple[Said, Sending]:
        if "rewriteTo" not in asked.path:
            return server.good(asked), Sending()
        token = f"T{next(tokens)}" if changes else "T"
        return _json({"done": False, "rewriteToken": token, "totalBytesRewritten": total, "objectSize": "5"})

    async with serving("gcs") as server, opened("gcs", server.url) as storage:
        server.answer = answer
        with pytest.raises(UnavailableError, match="stays at 0 bytes"):
            await storage.copy("k", "z")

    assert "totalBytesRewritten" in server.asked[-1].query["fields"]
    assert 2 + _ATTEMPTS == _rewrites(server)


async def test_rewrite_with_progress() -> None:
    """
    Progress begins the count anew, so that a long rewrite may stand still now and then.
    """
    totals = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    steps: list[dict[str, Any]] = [
        {"done": False, "rewriteToken": "T", "totalBytesRewritten": str(total)} for total in totals
    ]

    async with serving("gcs") as server, opened("gcs", server.url) as storage:
        good = server.good(Asked("POST", "/storage/v1/b/bucket/o/k/rewriteTo/b/bucket/o/z", {}))
        server.answer = _rewriting(server, *steps, json.loads(good.body))
        await storage.copy("k", "z")

    assert len(totals) + 1 == _rewrites(server)


async def test_unknown_status_of_a_work_request() -> None:
    """
    A copy on OCI with a status that nobody knows is given up, and its work request is cancelled.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        if asked.method == "GET" and asked.path.endswith("/workRequests/w"):
            return _json({"status": "NEEDS_ATTENTION"})
        return server.good(asked), Sending()

    async with serving("oci") as server, opened("oci", server.url) as storage:
        server.answer = answer
        with pytest.raises(UnavailableError, match="unknown status 'NEEDS_ATTENTION'"):
            await storage.copy("k", "z")

    polls = [asked.method for asked in server.asked if "/workRequests/" in asked.path]
    assert [*["GET"] * (1 + _ATTEMPTS), "DELETE"] == polls


async def test_work_request_that_takes_long() -> None:
    """
    A status that OCI knows says that it is at work.
    """
    statuses = ["ACCEPTED", *["IN_PROGRESS"] * _ATTEMPTS, "COMPLETED"]

    def answer(asked: Asked) -> tuple[Said, Sending]:
        if asked.method == "GET" and asked.path.endswith("/workRequests/w"):
            said, sending = _json({"status": statuses.pop(0)})
            said.headers["Retry-After"] = "0"
            return said, sending
        return server.good(asked), Sending()

    async with serving("oci") as server, opened("oci", server.url) as storage:
        server.answer = answer
        await storage.copy("k", "z")

    assert not statuses

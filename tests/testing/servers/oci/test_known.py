"""
What Oracle's SDKs, oci-cli and rclone send; and what the server does not know, which it refuses.
"""

from __future__ import annotations

import re

import pytest

from asyncstore.testing.servers.oci import known
from tests.testing.servers.oci.conftest import Place


def test_listing_of_rclone(place: Place) -> None:
    """All fields, a start and an end, and the headers that every SDK sends."""
    for name in ("a", "b", "c"):
        place.call("put_object", name, b"data")

    page = place.call(
        "list_objects",
        fields="name,size,etag,timeCreated,md5,timeModified,storageTier,archivalState",
        start_after="a",
        end="c",
        opc_client_request_id="lab",
    )

    assert [(one.name, one.size, one.storage_tier) for one in page.data.objects] == [("b", 4, "Standard")]
    assert page.headers["opc-client-request-id"] == "lab"


def test_size_of_a_bucket(place: Place) -> None:
    """The fields that oci-cli can ask for."""
    place.call("put_object", "a", b"12345")

    found = place.call("get_bucket", fields=["approximateCount", "approximateSize"]).data

    assert (found.approximate_count, found.approximate_size) == (1, 5)
    assert place.call("get_bucket").data.approximate_size is None
    assert place.refused("get_bucket", fields=["autoTiering"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/o?matchGlob=a*"),
        ("GET", "/o?page=x"),
        ("GET", "/o/a?range=bytes"),
        ("HEAD", "/o/a?fields=name"),
        ("DELETE", "/o/a?recursive=true"),
        ("POST", "/u?uploadId=x"),
        ("GET", "/u?prefix=a"),
    ],
)
def test_unknown_parameters(place: Place, method: str, path: str) -> None:
    """A parameter that the server does not know is refused by name, and nothing is done."""
    place.call("put_object", "a", b"1")
    name, _, value = path.partition("?")[2].partition("=")

    status, message = _sent(place, method, path.partition("?")[0], {name: value}, {})

    assert status == 501
    assert method == "HEAD" or repr(name) in message
    assert place.read("a") == b"1"


def test_unknown_headers(place: Place) -> None:
    """So is a header of the service that would change what the request means."""
    status, message = _sent(place, "PUT", "/o/a", {}, {"opc-unheard-of": "x"})

    assert (status, "'opc-unheard-of'" in message) == (501, True)
    assert place.refused("get_object", "a")[0] == 404


def test_every_handler_with_parameters_is_routed() -> None:
    """The declarations belong to operations that the server has."""
    from asyncstore.testing.servers.oci import routes

    routed = {handler for methods in routes._ROUTES.values() for handler in methods.values()}
    assert set(known._PARAMETERS) <= routed


def _sent(place: Place, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, str]:
    from oci.exceptions import ServiceError

    client = place.client.base_client
    with pytest.raises(ServiceError) as caught:
        client.call_api(
            resource_path=f"/n/{place.namespace}/b/{place.bucket}{path}",
            method=method,
            query_params=query,
            header_params={"accept": "application/json", **headers},
            body=b"data" if method in ("PUT", "POST") else None,
        )
    return caught.value.status, re.sub(r"\s+", " ", caught.value.message or "")

"""
Pre-authenticated requests, created with the official SDK and used without it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import oci
import pytest

from tests.testing.servers.oci.conftest import Place


def make(place: Place, access_type: str, name: str | None = None, **details: Any) -> Any:
    """Create a pre-authenticated request for an hour."""
    return place.call("create_preauthenticated_request", request(access_type, name, **details)).data


def request(access_type: str, name: str | None = None, **details: Any) -> Any:
    """Return the details for CreatePreauthenticatedRequest."""
    from oci.object_storage.models import CreatePreauthenticatedRequestDetails

    defaults = {"name": "test", "time_expires": datetime.now(UTC) + timedelta(hours=1), **details}
    return CreatePreauthenticatedRequestDetails(access_type=access_type, object_name=name, **defaults)


def use(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Send an unsigned request."""
    sent = urllib.request.Request(url, body, {n.replace("_", "-"): v for n, v in headers.items()}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(sent, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def url(place: Place, made: Any, name: str = "") -> str:
    """Return the URL of a request, with *name* appended."""
    return f"{place.server.server.url}{made.access_uri}{quote(name)}"


@pytest.mark.parametrize(
    ("access_type", "reads", "writes"),
    [("ObjectRead", True, False), ("ObjectWrite", False, True), ("ObjectReadWrite", True, True)],
)
def test_for_one_object(place: Place, access_type: str, reads: bool, writes: bool) -> None:
    """A request for one object allows its access type, for that object only."""
    place.call("put_object", "a b", b"old")
    place.call("put_object", "other", b"old")
    made = make(place, access_type, "a b")

    assert use(url(place, made)) == ((200, b"old") if reads else refusal())
    assert use(url(place, made), "HEAD")[0] == (200 if reads else 404)
    assert use(url(place, made), "PUT", b"new", opc_meta_x="1")[0] == (200 if writes else 404)
    assert use(url(place, made), "DELETE") == refusal()
    assert use(url(place, made).replace("a%20b", "other")) == refusal()
    assert place.read("a b") == (b"new" if writes else b"old")
    assert place.call("head_object", "a b").headers.get("opc-meta-x") == ("1" if writes else None)


def test_full_path_and_ranges(place: Place) -> None:
    """The full path is the complete URL, and reads can use ranges."""
    place.call("put_object", "a", b"0123456789")

    made = make(place, "ObjectRead", "a")

    assert made.full_path == url(place, made)
    assert use(made.full_path, range="bytes=2-3") == (206, b"23")


@pytest.mark.parametrize("prefix", [None, "p/"])
def test_for_many_objects(place: Place, prefix: str | None) -> None:
    """A request for any object covers all names with its prefix, which is not in the URL."""
    place.call("put_object", "p/a", b"1")
    place.call("put_object", "q/a", b"2")

    made = make(place, "AnyObjectReadWrite", prefix)

    assert made.access_uri.endswith("/o/")
    assert use(url(place, made, "p/a")) == (200, b"1")
    assert use(url(place, made, "q/a")) == (refusal() if prefix else (200, b"2"))
    assert use(url(place, made, "p/b"), "PUT", b"3")[0] == 200


def test_listing(place: Place) -> None:
    """Listing must be allowed explicitly, and is limited to the prefix."""
    place.call("put_object", "p/a", b"1")
    silent, listing = (
        make(place, "AnyObjectRead", "p/", bucket_listing_action=action) for action in ("Deny", "ListObjects")
    )

    assert use(url(place, silent) + "?prefix=p/") == refusal()
    assert use(url(place, listing)) == refusal()
    status, body = use(url(place, listing) + "?prefix=p/")
    assert (status, [one["name"] for one in json.loads(body)["objects"]]) == (200, ["p/a"])


def test_expiry(place: Place) -> None:
    """A request stops working when it expires."""
    place.call("put_object", "a", b"1")
    made = make(place, "ObjectRead", "a")
    store = place.server.server.store

    store.clock_offset = 3500
    assert use(url(place, made))[0] == 200
    store.clock_offset = 3700
    assert use(url(place, made)) == refusal()


def test_listing_and_deleting_requests(place: Place) -> None:
    """Listed requests do not contain the token; deleted requests stop working."""
    place.call("put_object", "a", b"1")
    made = [make(place, "ObjectRead", "a"), make(place, "AnyObjectRead", "b", bucket_listing_action="Deny")]

    found = oci.pagination.list_call_get_all_results(
        place.client.list_preauthenticated_requests, place.namespace, place.bucket, limit=1
    ).data
    assert {one.id for one in found} == {one.id for one in made}
    by_prefix = place.call("list_preauthenticated_requests", object_name_prefix="b").data
    assert [one.id for one in by_prefix] == [made[1].id]
    looked = place.call("get_preauthenticated_request", made[0].id, enable_strict_url_encoding=True)
    assert (looked.data.name, looked.data.object_name, looked.data.access_type) == ("test", "a", "ObjectRead")
    assert made[0].access_uri not in looked.request.url

    place.call("delete_preauthenticated_request", made[0].id)

    assert use(url(place, made[0])) == refusal()
    assert place.refused("get_preauthenticated_request", made[0].id) == (404, "PreauthenticatedRequestNotFound")


def test_invalid_requests(place: Place) -> None:
    """Requests with contradictory details are refused."""
    invalid = (400, "InvalidParCreateRequest")
    past = datetime.now(UTC) - timedelta(hours=1)

    assert place.refused("create_preauthenticated_request", request("ObjectRead")) == invalid
    assert place.refused("create_preauthenticated_request", request("ObjectRead", "a", time_expires=past)) == invalid
    listing = request("AnyObjectWrite", bucket_listing_action="ListObjects")
    assert place.refused("create_preauthenticated_request", listing) == invalid


def test_multipart_upload(place: Place) -> None:
    """A multipart upload needs nothing but the URL."""
    made = make(place, "AnyObjectWrite")

    status, body = use(url(place, made, "a/b c"), "PUT", b"", opc_multipart="true", opc_meta_x="1")
    assert status == 200
    where = place.server.server.url + json.loads(body)["accessUri"]
    assert [use(f"{where}{number}", "PUT", part)[0] for number, part in ((2, b"two"), (1, b"one"))] == [200, 200]
    assert use(where.replace("/p/", "/p/x"), "POST") == refusal()
    assert use(where, "POST")[0] == 200

    assert place.read("a/b c") == b"onetwo"
    assert place.call("head_object", "a/b c").headers["opc-meta-x"] == "1"

    _, body = use(url(place, made, "gone"), "PUT", b"", opc_multipart="true")
    assert use(place.server.server.url + json.loads(body)["accessUri"], "DELETE")[0] == 204
    assert place.call("list_multipart_uploads").data == []


def refusal() -> tuple[int, bytes]:
    """Return the reply to a request that is not allowed."""
    message = "Authorization failed or requested resource not found."
    return 404, json.dumps({"code": "NotAuthorizedOrNotFound", "message": message}).encode()

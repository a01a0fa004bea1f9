"""
Copies and their work requests, with the official SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asyncstore.testing.servers.oci.buckets import DEFAULT_COMPARTMENT
from tests.servers.oci import RunningOCI, running_oci
from tests.testing.servers.oci.conftest import Place, refused
from tests.testing.servers.oci.test_objects import SSE_C


def copy(place: Place, **changes: Any) -> str:
    """Request a copy of `a` to `b`; return the work request's id."""
    request: str = place.call("copy_object", details(place, **changes)).headers["opc-work-request-id"]
    return request


def details(place: Place, **changes: Any) -> Any:
    """Return the details for CopyObject."""
    from oci.object_storage.models import CopyObjectDetails

    defaults = {
        "source_object_name": "a",
        "destination_region": place.server.region,
        "destination_namespace": place.namespace,
        "destination_bucket": place.bucket,
        "destination_object_name": "b",
    }
    return CopyObjectDetails(**{**defaults, **changes})


def states(place: Place, request: str) -> list[str]:
    """Poll a work request until it has ended; return its states."""
    found: list[str] = []
    while not found or found[-1] in ("ACCEPTED", "IN_PROGRESS"):
        found.append(place.client.get_work_request(request).data.status)
    return found


def failure(place: Place, request: str) -> str:
    """Return the error code of a failed work request."""
    assert states(place, request)[-1] == "FAILED"
    (error,) = place.client.list_work_request_errors(request).data
    code: str = error.code
    return code


@pytest.fixture
def filled(place: Place) -> Place:
    place.call("put_object", "a", b"hello", opc_meta={"x": "1"}, content_type="text/plain")
    return place


def test_a_copy_is_a_work_request(filled: Place) -> None:
    """A copy is unfinished for the configured number of polls, and then completed."""
    filled.server.server.store.copy_polls = 2
    request = copy(filled)

    assert filled.refused("get_object", "b") == (404, "ObjectNotFound")
    assert states(filled, request) == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]

    got = filled.call("get_object", "b")
    assert (got.data.content, got.headers["opc-meta-x"], got.headers["content-type"]) == (b"hello", "1", "text/plain")
    assert got.headers["etag"] != filled.call("head_object", "a").headers["etag"]
    data = filled.client.get_work_request(request).data
    assert (data.operation_type, data.percent_complete) == ("COPY_OBJECT", 100.0)
    assert [one.action_type for one in data.resources] == ["READ", "WRITTEN"]
    assert filled.client.list_work_request_errors(request).data == []
    assert len(filled.client.list_work_request_logs(request).data) == 1
    assert [one.id for one in filled.client.list_work_requests(DEFAULT_COMPARTMENT).data] == [request]


def test_a_copy_can_be_done_at_once(filled: Place) -> None:
    """With 0 polls, the copy is done when CopyObject returns."""
    filled.server.server.store.copy_polls = 0
    copy(filled)

    assert filled.read("b") == b"hello"


def test_sdk_waits_for_a_copy(filled: Place) -> None:
    """The SDK's composite operation waits until the copy is done."""
    from oci.object_storage import ObjectStorageClientCompositeOperations

    together = ObjectStorageClientCompositeOperations(filled.client)
    done = together.copy_object_and_wait_for_state(
        filled.namespace,
        filled.bucket,
        details(filled),
        wait_for_states=["COMPLETED", "FAILED"],
        waiter_kwargs={"max_interval_seconds": 1},
    )

    assert done.data.status == "COMPLETED"


def test_new_metadata_and_tier(filled: Place) -> None:
    """New metadata replaces all old metadata; the tier is the bucket's unless the copy sets one."""
    metadata = {"opc-meta-y": "2"}
    states(
        filled, copy(filled, destination_object_metadata=metadata, destination_object_storage_tier="InfrequentAccess")
    )

    head = filled.call("head_object", "b").headers
    assert {name: head[name] for name in head if name.startswith("opc-meta-")} == metadata
    assert (head["content-type"], head["storage-tier"]) == ("text/plain", "InfrequentAccess")


def test_source_errors_are_immediate(filled: Place) -> None:
    """Errors in the source are returned by CopyObject itself."""
    assert filled.refused("copy_object", details(filled, source_object_name="no")) == (404, "ObjectNotFound")
    wrong = details(filled, source_object_if_match_e_tag="no")
    assert filled.refused("copy_object", wrong) == (412, "IfMatchFailed")
    elsewhere = details(filled, destination_region="nowhere")
    assert filled.refused("copy_object", elsewhere) == (400, "InvalidRegion")


def test_destination_errors_come_later(filled: Place) -> None:
    """Errors in the destination fail the work request and leave the existing object."""
    filled.call("put_object", "b", b"old")

    assert failure(filled, copy(filled, destination_object_if_none_match_e_tag="*")) == "IfNoneMatchFailed"
    assert failure(filled, copy(filled, destination_object_if_match_e_tag="no")) == "IfMatchFailed"
    assert failure(filled, copy(filled, destination_bucket="no")) == "BucketNotFound"
    assert filled.read("b") == b"old"


def test_source_changed_before_the_copy(filled: Place) -> None:
    """A copy fails if its source changes before the work is done."""
    request = copy(filled)
    filled.call("put_object", "a", b"changed")

    assert failure(filled, request) == "ObjectNotFound"
    assert filled.refused("get_object", "b") == (404, "ObjectNotFound")


def test_injected_failures(filled: Place) -> None:
    """A test can make the next copies fail."""
    filled.server.server.store.copy_failures.append(("InternalServerError", "out of order"))

    assert failure(filled, copy(filled)) == "InternalServerError"
    assert states(filled, copy(filled))[-1] == "COMPLETED"


def test_cancelling(filled: Place) -> None:
    """An unfinished copy can be cancelled; a finished one cannot."""
    filled.server.server.store.copy_polls = 5
    request = copy(filled)

    filled.client.cancel_work_request(request)

    assert states(filled, request) == ["CANCELED"]
    assert refused(filled.client.cancel_work_request, request) == (409, "NotCancelable")
    assert filled.refused("get_object", "b") == (404, "ObjectNotFound")
    assert refused(filled.client.get_work_request, "no") == (404, "NotAuthorizedOrNotFound")


def test_customer_keys(place: Place) -> None:
    """Source and destination each have their own customer key."""
    place.call("put_object", "a", b"secret", **SSE_C)
    source = {name.replace("opc_sse", "opc_source_sse"): value for name, value in SSE_C.items()}

    assert place.refused("copy_object", details(place))[0] == 400
    request = place.call("copy_object", details(place), **source, **SSE_C).headers["opc-work-request-id"]
    states(place, request)

    assert place.refused("get_object", "b")[0] == 400
    assert place.read("b", **SSE_C) == b"secret"


class TestRegions:
    """
    Two linked servers.
    """

    @pytest.fixture
    def other(self, filled: Place) -> Iterator[RunningOCI]:
        with running_oci(region="us-ashburn-1") as server:
            filled.server.server.link(server.server)
            yield server

    def test_copy_to_another_region(self, filled: Place, other: RunningOCI) -> None:
        """The object is copied to the other server only."""
        bucket = other.fresh_bucket()

        states(filled, copy(filled, destination_region="us-ashburn-1", destination_bucket=bucket))

        with other.client() as client:
            assert client.get_object(other.namespace, bucket, "b").data.content == b"hello"
        assert filled.refused("get_object", "b") == (404, "ObjectNotFound")

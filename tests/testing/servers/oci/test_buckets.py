"""
Buckets and the namespace, with the official SDK.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.servers.oci.conftest import Place, refused


def details(name: str, **more: Any) -> Any:
    """Return the details for CreateBucket."""
    from oci.object_storage.models import CreateBucketDetails

    return CreateBucketDetails(**{"name": name, "compartment_id": "ours", **more})


def test_namespace(place: Place) -> None:
    """A tenancy has one namespace."""
    assert place.client.get_namespace().data == place.namespace == "standin"
    assert place.client.get_namespace_metadata(place.namespace).data.namespace == place.namespace


def test_life_of_a_bucket(place: Place) -> None:
    """A bucket can be created, found, changed and deleted."""
    from oci.object_storage.models import UpdateBucketDetails

    client, namespace = place.client, place.namespace
    made = client.create_bucket(namespace, details("mine", storage_tier="Archive", versioning="Enabled")).data

    assert (made.name, made.storage_tier, made.versioning, made.namespace) == ("mine", "Archive", "Enabled", namespace)
    assert made.created_by == place.server.user.user
    assert client.head_bucket(namespace, "mine").headers["etag"] == made.etag
    assert client.get_bucket(namespace, "mine").data.compartment_id == "ours"
    assert refused(client.create_bucket, namespace, details("mine")) == (409, "BucketAlreadyExists")

    changed = client.update_bucket(namespace, "mine", UpdateBucketDetails(versioning="Suspended")).data
    assert (changed.versioning, changed.storage_tier) == ("Suspended", "Archive")
    assert refused(client.delete_bucket, namespace, "mine", if_match=made.etag) == (412, "IfMatchFailed")

    client.delete_bucket(namespace, "mine", if_match=changed.etag)
    assert refused(client.get_bucket, namespace, "mine") == (404, "BucketNotFound")
    assert refused(client.head_bucket, namespace, "mine")[0] == 404


def test_list_of_buckets(place: Place) -> None:
    """The buckets of a compartment are listed in order, in pages."""
    import oci

    for name in ("c", "a", "b"):
        place.client.create_bucket(place.namespace, details(name))

    found = oci.pagination.list_call_get_all_results(place.client.list_buckets, place.namespace, "ours", limit=2).data

    assert [one.name for one in found] == ["a", "b", "c"]


def test_only_empty_buckets_are_deleted(place: Place) -> None:
    """A bucket with an object, an unfinished upload or a pre-authenticated request cannot be deleted."""
    from oci.object_storage.models import CreateMultipartUploadDetails

    from tests.testing.servers.oci.test_preauthenticated import make

    place.call("put_object", "a", b"1")
    assert place.refused("delete_bucket") == (409, "BucketNotEmpty")
    place.call("delete_object", "a")

    upload = place.call("create_multipart_upload", CreateMultipartUploadDetails(object="a")).data.upload_id
    assert place.refused("delete_bucket") == (409, "BucketNotEmpty")
    place.call("abort_multipart_upload", "a", upload)

    made = make(place, "ObjectRead", "a")
    assert place.refused("delete_bucket") == (409, "PreauthenticatedRequestStillExists")
    place.call("delete_preauthenticated_request", made.id)

    place.call("delete_bucket")


@pytest.mark.parametrize("name", ["x" * 257, "a b", "a:b", "é"])
def test_invalid_names(place: Place, name: str) -> None:
    """A bucket's name consists of letters, digits, dots, hyphens and underscores."""
    assert refused(place.client.create_bucket, place.namespace, details(name)) == (400, "InvalidBucketName")


def test_compartment_is_required(place: Place) -> None:
    """A bucket cannot be created without a compartment."""
    wanted = details("mine", compartment_id=None)

    assert refused(place.client.create_bucket, place.namespace, wanted) == (400, "MissingCompartmentId")

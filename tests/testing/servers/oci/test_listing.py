"""
Listings of objects and versions, with the official SDK.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.servers.oci.conftest import Place

NAMES = ["a", "a/1", "a/2", "a/b/3", "b-", "b/", "b/x", "c", "Z", "é", "\U0001f600"]


@pytest.fixture
def filled(place: Place) -> Place:
    for name in NAMES:
        place.call("put_object", name, name.encode())
    return place


def listed(place: Place, **options: Any) -> tuple[list[str], list[str]]:
    """List page by page; return all names and prefixes."""
    names: list[str] = []
    prefixes: list[str] = []
    while True:
        page = place.call("list_objects", **options).data
        names += [one.name for one in page.objects]
        prefixes += page.prefixes or []
        if page.next_start_with is None:
            return names, prefixes
        options["start"] = page.next_start_with


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_all_in_order(filled: Place, limit: int) -> None:
    """For any page size, all objects are listed in the order of their UTF-8 bytes."""
    assert listed(filled, limit=limit) == (sorted(NAMES, key=str.encode), [])


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("prefix", "names", "prefixes"),
    [
        ("", ["Z", "a", "b-", "c", "é", "\U0001f600"], ["a/", "b/"]),
        ("a/", ["a/1", "a/2"], ["a/b/"]),
        ("a", ["a"], ["a/"]),
        ("b/", ["b/", "b/x"], []),
        ("nothing", [], []),
    ],
)
def test_delimiter(filled: Place, limit: int, prefix: str, names: list[str], prefixes: list[str]) -> None:
    """With a delimiter, the objects below a prefix are listed as that prefix, once."""
    assert listed(filled, prefix=prefix, delimiter="/", limit=limit) == (names, prefixes)


def test_prefixes_only_with_a_delimiter(filled: Place) -> None:
    """Without a delimiter, the list of prefixes is absent, not empty."""
    assert filled.call("list_objects").data.prefixes is None
    assert filled.call("list_objects", delimiter="/", prefix="c").data.prefixes == []


def test_only_a_slash_delimits(filled: Place) -> None:
    """A delimiter other than a slash is refused."""
    assert filled.refused("list_objects", delimiter="-")[0] == 400


def test_start_and_end(filled: Place) -> None:
    """`start` is included; `startAfter` and `end` are not."""
    assert listed(filled, start="a/1", end="b/") == (["a/1", "a/2", "a/b/3", "b-"], [])
    assert listed(filled, start_after="a/1", end="b-") == (["a/2", "a/b/3"], [])
    assert listed(filled, start_after="a/", end="a/2") == (["a/1"], [])


def test_names_only_unless_asked(filled: Place) -> None:
    """Fields other than the name are included only on request; their names are case-insensitive."""
    bare = filled.call("list_objects", prefix="c").data.objects[0]
    full = filled.call(
        "list_objects", prefix="c", fields="name,SIZE,etag,md5,timeCreated,timeModified,storageTier,archivalState"
    ).data.objects[0]
    head = filled.call("head_object", "c").headers

    assert (bare.name, bare.size, bare.etag, bare.md5, bare.time_created) == ("c", None, None, None, None)
    assert (full.name, full.size, full.etag, full.md5) == ("c", 1, head["etag"], head["content-md5"])
    assert (full.storage_tier, full.archival_state) == ("Standard", None)
    assert full.time_created == full.time_modified
    assert filled.refused("list_objects", fields="colour")[0] == 400


@pytest.mark.parametrize("limit", [0, 1001])
def test_limits_of_pages(filled: Place, limit: int) -> None:
    """A page has 1 to 1000 entries."""
    assert filled.refused("list_objects", limit=limit) == (400, "InvalidLimit")


def test_default_page_size(place: Place) -> None:
    """A page has 1000 entries by default."""
    from asyncstore.testing.servers.oci.content import Content
    from asyncstore.testing.servers.oci.state import Version

    bucket = place.server.server.store.buckets[place.bucket]
    for number in range(1001):
        bucket.store(Version(name=f"{number:04}", content=Content(()), created=0.0))

    page = place.call("list_objects").data

    assert (len(page.objects), page.next_start_with) == (1000, "1000")


def test_sdk_pagination(filled: Place) -> None:
    """The SDK's own pagination finds all versions."""
    import oci

    found = oci.pagination.list_call_get_all_results(
        filled.client.list_object_versions, filled.namespace, filled.bucket, limit=2
    )

    items = [one.name for one in found.data]
    assert items == sorted(NAMES, key=str.encode)


class TestVersions:
    """
    A bucket with versioning.
    """

    @pytest.fixture
    def kept(self, place: Place) -> Place:
        return Place(place.server, place.client, place.server.fresh_bucket(versioning="Enabled"))

    def test_every_version_can_be_read(self, kept: Place) -> None:
        """Replaced and deleted objects can be read by version."""
        first = kept.call("put_object", "a", b"1").headers["version-id"]
        second = kept.call("put_object", "a", b"2").headers["version-id"]
        marker = kept.call("delete_object", "a").headers["version-id"]

        assert kept.refused("get_object", "a") == (404, "ObjectNotFound")
        assert kept.refused("delete_object", "a") == (404, "ObjectNotFound")
        assert (kept.read("a", version_id=first), kept.read("a", version_id=second)) == (b"1", b"2")
        assert kept.refused("get_object", "a", version_id=marker) == (404, "ObjectNotFound")
        assert listed(kept) == ([], [])

    def test_versions_are_listed_newest_first(self, kept: Place) -> None:
        """Every version and delete marker is listed, in pages."""
        ids = [kept.call("put_object", "a", b"1").headers["version-id"] for _ in range(3)]
        ids.append(kept.call("delete_object", "a").headers["version-id"])
        other = kept.call("put_object", "b", b"1").headers["version-id"]

        found: list[Any] = []
        page: dict[str, str] = {}
        while True:
            reply = kept.call("list_object_versions", limit=2, fields="size", **page)
            found += reply.data.items
            if reply.next_page is None:
                break
            page = {"page": reply.next_page}

        assert [one.version_id for one in found] == [*reversed(ids), other]
        assert [one.is_delete_marker for one in found] == [True, False, False, False, False]
        assert found[1].size == 1

    def test_suspended(self, kept: Place) -> None:
        """While versioning is suspended, old versions are kept, and at most one new version."""
        from oci.object_storage.models import UpdateBucketDetails

        old = kept.call("put_object", "a", b"old").headers["version-id"]
        kept.call("update_bucket", UpdateBucketDetails(versioning="Suspended"))

        kept.call("put_object", "a", b"1")
        newest = kept.call("put_object", "a", b"2").headers["version-id"]
        assert [one.version_id for one in kept.call("list_object_versions").data.items] == [newest, old]

        kept.call("delete_object", "a")
        assert kept.refused("get_object", "a") == (404, "ObjectNotFound")
        assert kept.read("a", version_id=old) == b"old"
        assert kept.refused("get_object", "a", version_id=newest) == (404, "ObjectNotFound")

    def test_deleting_a_version(self, kept: Place) -> None:
        """A deleted version is gone; deleting the marker restores the object."""
        first = kept.call("put_object", "a", b"1").headers["version-id"]
        marker = kept.call("delete_object", "a").headers["version-id"]

        kept.call("delete_object", "a", version_id=marker)
        assert kept.read("a") == b"1"

        kept.call("delete_object", "a", version_id=first)
        assert kept.refused("get_object", "a") == (404, "ObjectNotFound")
        assert kept.refused("delete_object", "a", version_id=first) == (404, "ObjectNotFound")

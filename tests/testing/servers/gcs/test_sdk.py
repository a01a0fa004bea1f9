"""
The official client works against the stand-in for GCS, and gets the service's errors.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed, RequestRangeNotSatisfiable
from google.cloud import storage
from google.cloud.storage import transfer_manager

from tests.servers.gcs import GCSEndpoint, fresh_bucket
from tests.servers.gcs_client import MIB, QUANTUM, random_bytes, sdk


@pytest.fixture
def client(gcs_endpoint: GCSEndpoint) -> Iterator[storage.Client]:
    with sdk(gcs_endpoint.url) as made:
        yield made


@pytest.fixture
def bucket(gcs_endpoint: GCSEndpoint, client: storage.Client) -> storage.Bucket:
    return client.bucket(fresh_bucket(gcs_endpoint))


def test_buckets(client: storage.Client) -> None:
    """A bucket can be created once, found, listed, and deleted when empty."""
    bucket = client.create_bucket("sdk-bucket")

    with pytest.raises(Conflict):
        client.create_bucket("sdk-bucket")
    assert client.lookup_bucket("sdk-bucket").metageneration == 1
    assert client.lookup_bucket("sdk-other") is None
    assert "sdk-bucket" in [one.name for one in client.list_buckets()]
    bucket.blob("a").upload_from_string(b"")
    with pytest.raises(Conflict):
        bucket.delete()
    bucket.blob("a").delete()
    bucket.delete()
    assert not bucket.exists()


def test_multipart_upload_with_metadata(bucket: storage.Bucket) -> None:
    """Metadata and content sent in one request can be read back, hashes included."""
    blob = bucket.blob("dir/a b+c%20.txt")
    blob.metadata = {"colour": "blue", "Größe": "klein"}
    blob.cache_control = "no-cache"
    blob.content_language = "de"
    blob.storage_class = "NEARLINE"
    blob.upload_from_string("hällo", content_type="text/plain; charset=utf-8", checksum="crc32c")

    found = bucket.get_blob("dir/a b+c%20.txt")
    assert found.metadata == {"colour": "blue", "Größe": "klein"}
    assert (found.cache_control, found.content_language) == ("no-cache", "de")
    assert (found.content_type, found.storage_class, found.size) == ("text/plain; charset=utf-8", "NEARLINE", 6)
    assert found.generation == blob.generation
    assert found.download_as_text() == "hällo"


@pytest.mark.parametrize("size", [0, 1, QUANTUM - 1, QUANTUM, 3 * QUANTUM + 17, 9 * MIB])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_resumable_upload_in_chunks(bucket: storage.Bucket, size: int, known: bool) -> None:
    """A chunked upload arrives complete, whether or not its size is known at the start."""
    data = random_bytes(size)
    blob = bucket.blob("resumable", chunk_size=4 * QUANTUM)
    blob.upload_from_file(io.BytesIO(data), size=size if known else None, checksum="md5")

    assert bucket.blob("resumable").download_as_bytes() == data


def test_wrong_checksum_is_refused(bucket: storage.Bucket) -> None:
    """An object whose MD5 or CRC32C does not match is not stored."""
    for field, value in (("md5_hash", "AAAAAAAAAAAAAAAAAAAAAA=="), ("crc32c", "AAAAAA==")):
        blob = bucket.blob("wrong")
        setattr(blob, field, value)
        with pytest.raises(BadRequest, match="doesn't match calculated"):
            blob.upload_from_string(b"body", checksum=None)

    assert not bucket.blob("wrong").exists()


def test_downloads_with_ranges(bucket: storage.Bucket) -> None:
    """Ranges are exact; a range that starts beyond the end is refused."""
    data = random_bytes(3 * MIB + 5)
    bucket.blob("r").upload_from_string(data)

    assert bucket.blob("r").download_as_bytes(start=10, end=19) == data[10:20]
    assert bucket.blob("r").download_as_bytes(start=3 * MIB) == data[3 * MIB :]
    assert bucket.blob("r").download_as_bytes(start=-7) == data[-7:]
    assert bucket.blob("r", chunk_size=MIB).download_as_bytes() == data
    with pytest.raises(RequestRangeNotSatisfiable):
        bucket.blob("r").download_as_bytes(start=len(data))
    with pytest.raises(NotFound, match="No such object"):
        bucket.blob("none").download_as_bytes()


def test_download_in_parallel(bucket: storage.Bucket, tmp_path: Path) -> None:
    """The transfer manager's parallel ranged reads return the object's bytes."""
    data = random_bytes(5 * MIB)
    bucket.blob("p").upload_from_string(data)
    target = tmp_path / "p"
    transfer_manager.download_chunks_concurrently(
        bucket.blob("p"), str(target), chunk_size=MIB, worker_type=transfer_manager.THREAD, max_workers=3
    )

    assert target.read_bytes() == data


def test_preconditions(bucket: storage.Bucket) -> None:
    """Writes, reads, patches and deletes check generation and metageneration."""
    blob = bucket.blob("c")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation

    with pytest.raises(PreconditionFailed):
        bucket.blob("c").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("c").upload_from_string(b"2", if_metageneration_match=2)
    bucket.blob("c").upload_from_string(b"2", if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("c").download_as_bytes(if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("c").delete(if_generation_match=first)
    with pytest.raises(NotFound):
        bucket.blob("c", generation=first).download_as_bytes()
    changed = bucket.get_blob("c")
    changed.metadata = {"a": "b"}
    with pytest.raises(PreconditionFailed):
        changed.patch(if_metageneration_match=7)
    changed.patch(if_metageneration_match=1)
    assert changed.metageneration == 2
    assert bucket.blob("c").download_as_bytes(if_metageneration_match=2) == b"2"


def test_patch_changes_and_removes(bucket: storage.Bucket) -> None:
    """A patch changes the fields that it names, removes those that are null, and keeps the rest."""
    blob = bucket.blob("m")
    blob.metadata = {"keep": "1", "drop": "2"}
    blob.content_disposition = "inline"
    blob.upload_from_string(b"")
    changed = bucket.get_blob("m")
    changed.metadata = {"keep": "1", "drop": None, "new": "3"}
    changed.content_disposition = None
    changed.patch()

    found = bucket.get_blob("m")
    assert found.metadata == {"keep": "1", "new": "3"}
    assert found.content_disposition is None
    assert (found.metageneration, found.generation) == (2, blob.generation)


def test_lists_with_delimiter_and_pages(bucket: storage.Bucket) -> None:
    """Pages with a delimiter list each name and prefix once, in byte order."""
    names = ["a", "a-x", "a/", "a/b", "a/b/c", "b/1", "b/2", "c", "é", "\U0001f600"]
    for name in names:
        bucket.blob(name).upload_from_string(b"")

    listed = bucket.list_blobs(delimiter="/", page_size=2)
    assert [blob.name for blob in listed] == ["a", "a-x", "c", "é", "\U0001f600"]
    assert listed.prefixes == {"a/", "b/"}
    assert [blob.name for blob in bucket.list_blobs(page_size=3)] == names
    assert [blob.name for blob in bucket.list_blobs(prefix="a/", delimiter="/")] == ["a/", "a/b"]
    assert [blob.name for blob in bucket.list_blobs(start_offset="a/b", end_offset="c")] == names[3:7]
    trailing = bucket.list_blobs(delimiter="/", include_trailing_delimiter=True)
    assert [blob.name for blob in trailing] == ["a", "a-x", "a/", "c", "é", "\U0001f600"]


def test_compose(bucket: storage.Bucket) -> None:
    """Up to 32 objects are composed; the result has a CRC32C and no MD5."""
    parts = [random_bytes(1000 + index) for index in range(32)]
    blobs = []
    for index, part in enumerate(parts):
        blobs.append(bucket.blob(f"part-{index}"))
        blobs[-1].upload_from_string(part)
    whole = bucket.blob("whole")
    whole.compose(blobs)

    assert whole.component_count == 32
    assert whole.md5_hash is None
    assert whole.download_as_bytes(checksum="crc32c") == b"".join(parts)
    with pytest.raises(BadRequest, match="exceeds the maximum"):
        bucket.blob("more").compose([*blobs, whole])
    with pytest.raises(PreconditionFailed):
        bucket.blob("other").compose(blobs[:2], if_source_generation_match=[blobs[0].generation, 1])
    with pytest.raises(NotFound):
        bucket.blob("other").compose([bucket.blob("none")])


def test_rewrite_in_several_calls(bucket: storage.Bucket) -> None:
    """A rewrite returns a token until it is done, and only then does the object exist."""
    data = random_bytes(3 * MIB + 1)
    source = bucket.blob("source")
    source.metadata = {"a": "b"}
    source.upload_from_string(data, content_type="text/x-test")
    target = bucket.blob("target")
    query = {"maxBytesRewrittenPerCall": str(MIB)}
    path = f"{source.path}/rewriteTo{target.path}"
    client = bucket.client
    reply = client._post_resource(path, {}, query_params=query)

    assert (reply["done"], reply["totalBytesRewritten"], reply["objectSize"]) == (False, str(MIB), str(len(data)))
    assert not target.exists()
    with pytest.raises(BadRequest, match="rewrite token"):
        bucket.blob("elsewhere").rewrite(source, token=reply["rewriteToken"])
    steps = 1
    while not reply["done"]:
        reply = client._post_resource(path, {}, query_params={**query, "rewriteToken": reply["rewriteToken"]})
        steps += 1
    assert steps == 4
    copy = bucket.get_blob("target")
    assert (copy.metadata, copy.content_type) == ({"a": "b"}, "text/x-test")
    assert copy.download_as_bytes() == data


def test_copy_with_conditions_on_the_source(bucket: storage.Bucket) -> None:
    """A copy checks the conditions on its source."""
    source = bucket.blob("s")
    source.upload_from_string(b"1")
    source.content_language = "de"
    source.patch()
    rewritten = bucket.blob("r")
    rewritten.rewrite(source)
    assert rewritten.content_language == "de"
    copy = bucket.copy_blob(source, bucket, "t", if_source_generation_match=source.generation)

    assert copy.download_as_bytes() == b"1"
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, bucket, "u", if_source_generation_match=1)
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(source, bucket, "t", if_generation_match=0)
    with pytest.raises(NotFound):
        bucket.copy_blob(bucket.blob("none"), bucket, "u")


def test_batch(bucket: storage.Bucket) -> None:
    """Each request of a batch gets its own reply."""
    for name in ("a", "b"):
        bucket.blob(name).upload_from_string(b"")
    with pytest.raises(NotFound), bucket.client.batch():
        bucket.blob("a").delete()
        bucket.blob("none").delete()
        bucket.blob("b").delete()

    assert list(bucket.list_blobs()) == []
    with pytest.raises(BadRequest, match="more than 100 calls"), bucket.client.batch():
        for _ in range(101):
            bucket.blob("a").delete()


def test_multipart_upload_of_the_xml_api(bucket: storage.Bucket, tmp_path: Path) -> None:
    """The transfer manager's parts become one object."""
    data = random_bytes(11 * MIB + 3)
    source = tmp_path / "source"
    source.write_bytes(data)
    blob = bucket.blob("parts/of it")
    blob.metadata = {"a": "b"}
    transfer_manager.upload_chunks_concurrently(
        str(source), blob, chunk_size=5 * MIB, worker_type=transfer_manager.THREAD, max_workers=3
    )

    found = bucket.get_blob("parts/of it")
    assert found.md5_hash is None
    assert found.metadata == {"a": "b"}
    assert found.download_as_bytes(checksum="crc32c") == data


def test_parts_below_the_minimum_size(bucket: storage.Bucket, tmp_path: Path) -> None:
    """Completing an upload with a part under 5 MiB, other than the last, is refused."""
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * MIB))

    with pytest.raises(Exception, match=r"EntityTooSmall|400"):
        transfer_manager.upload_chunks_concurrently(
            str(source), bucket.blob("small"), chunk_size=MIB, worker_type=transfer_manager.THREAD
        )
    assert not bucket.blob("small").exists()


def test_versions(gcs_endpoint: GCSEndpoint, client: storage.Client) -> None:
    """With versioning, replaced and deleted objects can be read by generation."""
    bucket = client.bucket(fresh_bucket(gcs_endpoint, versioning={"enabled": True}))
    blob = bucket.blob("v")
    generations = []
    for body in (b"1", b"2"):
        blob.upload_from_string(body)
        generations.append(blob.generation)
    bucket.blob("v").delete()

    assert not bucket.blob("v").exists()
    assert [one.generation for one in bucket.list_blobs(versions=True)] == generations
    assert bucket.blob("v", generation=generations[0]).download_as_bytes() == b"1"
    bucket.blob("v", generation=generations[0]).delete()
    assert [one.generation for one in bucket.list_blobs(versions=True)] == generations[1:]
    assert generations == sorted(generations)


def test_soft_delete(gcs_endpoint: GCSEndpoint, client: storage.Client) -> None:
    """A soft-deleted object can be listed, and restored as a new generation."""
    policy = {"retentionDurationSeconds": "604800"}
    bucket = client.bucket(fresh_bucket(gcs_endpoint, softDeletePolicy=policy))
    blob = bucket.blob("s")
    blob.upload_from_string(b"1")
    blob.delete()

    assert list(bucket.list_blobs()) == []
    (deleted,) = bucket.list_blobs(soft_deleted=True)
    assert deleted.soft_delete_time < deleted.hard_delete_time
    restored = bucket.restore_blob("s", generation=blob.generation)
    assert restored.generation > blob.generation
    assert bucket.blob("s").download_as_bytes() == b"1"
    assert list(bucket.list_blobs(soft_deleted=True)) == []


def test_customer_supplied_keys(bucket: storage.Bucket) -> None:
    """An object with a customer-supplied key needs that key, for reads and for the hashes in its metadata."""
    key, other = random_bytes(32), random_bytes(32)
    bucket.blob("k", encryption_key=key).upload_from_string(b"secret")

    assert bucket.blob("k", encryption_key=key).download_as_bytes() == b"secret"
    with pytest.raises(BadRequest, match="is encrypted by a customer-supplied"):
        bucket.blob("k").download_as_bytes()
    with pytest.raises(BadRequest, match="incorrect"):
        bucket.blob("k", encryption_key=other).download_as_bytes()
    assert bucket.get_blob("k").crc32c is None
    assert bucket.get_blob("k", encryption_key=key).crc32c is not None
    target = bucket.blob("k2", encryption_key=other)
    target.rewrite(bucket.blob("k", encryption_key=key))
    assert target.download_as_bytes() == b"secret"


def test_requester_pays(gcs_endpoint: GCSEndpoint, client: storage.Client) -> None:
    """A requester-pays bucket refuses requests that name no project."""
    name = fresh_bucket(gcs_endpoint, billing={"requesterPays": True})

    with pytest.raises(BadRequest, match="no user project provided"):
        client.bucket(name).blob("a").upload_from_string(b"")
    paid = client.bucket(name, user_project="test")
    paid.blob("a").upload_from_string(b"1")
    assert paid.blob("a").download_as_bytes() == b"1"


def test_holds(bucket: storage.Bucket) -> None:
    """An object under a hold cannot be deleted or replaced."""
    blob = bucket.blob("h")
    blob.upload_from_string(b"1")
    blob.temporary_hold = True
    blob.patch()

    for work in (blob.delete, lambda: blob.upload_from_string(b"2")):
        with pytest.raises(Exception, match="under active Temporary hold"):
            work()
    blob.temporary_hold = False
    blob.patch()
    blob.delete()


def test_gzip_is_decompressed_unless_accepted(bucket: storage.Bucket) -> None:
    """Gzip content is decompressed for clients that do not accept gzip."""
    blob = bucket.blob("z")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"plain"), content_type="text/plain")

    assert bucket.blob("z").download_as_bytes() == b"plain"
    assert gzip.decompress(bucket.blob("z").download_as_bytes(raw_download=True)) == b"plain"

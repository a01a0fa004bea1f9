"""
Multipart uploads, with the official SDK and its UploadManager.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.testing.servers.oci.conftest import Place
from tests.testing.servers.oci.test_objects import SSE_C

MIB = 1024 * 1024


def start(place: Place, name: str = "a", details: Mapping[str, Any] | None = None, **options: str) -> str:
    """Start an upload; return its id."""
    from oci.object_storage.models import CreateMultipartUploadDetails

    made = place.call(
        "create_multipart_upload", CreateMultipartUploadDetails(object=name, **(details or {})), **options
    )
    upload_id: str = made.data.upload_id
    return upload_id


def chosen(parts: dict[int, str], excluded: list[int] | None = None) -> Any:
    """Return the details for CommitMultipartUpload."""
    from oci.object_storage.models import CommitMultipartUploadDetails, CommitMultipartUploadPartDetails

    wanted = [CommitMultipartUploadPartDetails(part_num=number, etag=etag) for number, etag in parts.items()]
    return CommitMultipartUploadDetails(parts_to_commit=wanted, parts_to_exclude=excluded)


def put_part(place: Place, upload_id: str, number: int, body: bytes, name: str = "a", **options: Any) -> str:
    """Upload a part; return its ETag."""
    etag: str = place.call("upload_part", name, upload_id, number, body, **options).headers["etag"]
    return etag


def multipart_md5(*parts: bytes) -> str:
    """Return the MD5 of the parts' MD5s, and their number."""
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).digest()
    return f"{base64.b64encode(whole).decode()}-{len(parts)}"


def test_parts_in_any_order(place: Place) -> None:
    """Parts can be sent in any order, replaced or excluded; the object follows the part numbers."""
    upload = start(place, details={"metadata": {"opc-meta-x": "1"}, "content_type": "text/plain"})
    last = put_part(place, upload, 10_000, b"three")
    put_part(place, upload, 1, b"wrong")
    first = put_part(place, upload, 1, b"one")
    put_part(place, upload, 2, b"two")

    made = place.call("commit_multipart_upload", "a", upload, chosen({10_000: last, 1: first}, [2]))
    got = place.call("get_object", "a")

    assert got.data.content == b"onethree"
    assert made.headers["etag"] == got.headers["etag"]
    assert made.headers["opc-multipart-md5"] == got.headers["opc-multipart-md5"] == multipart_md5(b"one", b"three")
    assert "content-md5" not in got.headers
    assert (got.headers["opc-meta-x"], got.headers["content-type"]) == ("1", "text/plain")
    assert place.refused("commit_multipart_upload", "a", upload, chosen({1: first})) == (404, "UploadNotFound")


def test_invalid_commits(place: Place) -> None:
    """Every part must be committed by its ETag or excluded, and at least one must be committed."""
    upload = start(place)
    etag = put_part(place, upload, 1, b"one")
    put_part(place, upload, 2, b"two")
    invalid = (400, "InvalidUploadPart")

    assert place.refused("commit_multipart_upload", "a", upload, chosen({}, [1, 2])) == invalid
    assert place.refused("commit_multipart_upload", "a", upload, chosen({1: "other"}, [2])) == invalid
    assert place.refused("commit_multipart_upload", "a", upload, chosen({1: etag, 3: etag}, [2])) == invalid
    assert place.refused("commit_multipart_upload", "a", upload, chosen({1: etag})) == invalid
    assert place.refused("commit_multipart_upload", "a", upload, chosen({1: etag}, [1, 2])) == invalid
    assert place.refused("get_object", "a") == (404, "ObjectNotFound")


def test_minimum_part_size(place: Place) -> None:
    """A configured minimum size applies to all parts but the last."""
    place.server.server.store.min_part_size = 5
    upload = start(place)
    etags = {number: put_part(place, upload, number, body) for number, body in ((1, b"four"), (2, b"12345"), (3, b"1"))}

    refused = place.refused("commit_multipart_upload", "a", upload, chosen(etags))
    assert refused == (400, "InvalidUploadPart")
    place.call("commit_multipart_upload", "a", upload, chosen({2: etags[2], 3: etags[3]}, [1]))

    assert place.read("a") == b"123451"


@pytest.mark.parametrize("number", [0, 10_001])
def test_numbers_of_parts(place: Place, number: int) -> None:
    """Parts are numbered from 1 to 10,000."""
    assert place.refused("upload_part", "a", start(place), number, b"1") == (400, "InvalidUploadPartNumber")


def test_wrong_md5_of_a_part(place: Place) -> None:
    """A part that does not match Content-MD5 is not stored."""
    upload, md5 = start(place), base64.b64encode(hashlib.md5(b"other").digest()).decode()

    assert place.refused("upload_part", "a", upload, 1, b"1", content_md5=md5) == (400, "UnmatchedContentMD5")
    assert place.call("list_multipart_upload_parts", "a", upload).data == []


def test_conditions(place: Place) -> None:
    """Conditions are checked when the upload starts and when it is committed."""
    upload = start(place, if_none_match="*")
    etag = put_part(place, upload, 1, b"1")
    place.call("put_object", "a", b"other")

    commit = ("commit_multipart_upload", "a", upload, chosen({1: etag}))
    assert place.refused(*commit, if_none_match="*") == (412, "IfNoneMatchFailed")
    assert place.refused(*commit, if_match="x") == (412, "IfMatchFailed")
    place.call(*commit)

    assert place.read("a") == b"1"


def test_listing_in_pages(place: Place) -> None:
    """Parts and uploads are listed in order, in pages."""
    import oci

    uploads = {(name, start(place, name)) for name in ("b", "a", "a")}
    _, upload = min(uploads)
    for number in (3, 1, 2):
        put_part(place, upload, number, bytes(number))

    client, everything = place.client, oci.pagination.list_call_get_all_results
    parts = everything(client.list_multipart_upload_parts, place.namespace, place.bucket, "a", upload, limit=1).data
    found = everything(client.list_multipart_uploads, place.namespace, place.bucket, limit=1).data

    assert [(part.part_number, part.size) for part in parts] == [(1, 1), (2, 2), (3, 3)]
    assert parts[0].md5 == base64.b64encode(hashlib.md5(bytes(1)).digest()).decode()
    assert [(one.object, one.upload_id) for one in found] == sorted(uploads)
    assert {(one.namespace, one.bucket, one.storage_tier) for one in found} == {
        (place.namespace, place.bucket, "Standard")
    }


def test_abort(place: Place) -> None:
    """An aborted upload no longer exists."""
    upload = start(place)
    put_part(place, upload, 1, b"1")

    place.call("abort_multipart_upload", "a", upload)

    assert place.call("list_multipart_uploads").data == []
    assert place.refused("upload_part", "a", upload, 2, b"1") == (404, "UploadNotFound")
    assert place.refused("abort_multipart_upload", "a", upload) == (404, "UploadNotFound")


def test_upload_id_belongs_to_one_object(place: Place) -> None:
    """An upload id is not valid for another object."""
    assert place.refused("upload_part", "b", start(place), 1, b"1") == (404, "UploadNotFound")


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256", "SHA384"])
def test_additional_checksums(place: Place, algorithm: str) -> None:
    """CRC32C covers the whole object; the other algorithms hash the parts' checksums."""
    name = f"opc-content-{algorithm.lower()}"
    upload = start(place, opc_checksum_algorithm=algorithm)
    etags = {
        number: put_part(place, upload, number, body, opc_checksum_algorithm=algorithm)
        for number, body in ((1, b"12345"), (2, b"6789"))
    }

    made = place.call("commit_multipart_upload", "a", upload, chosen(etags)).headers
    head = place.call("head_object", "a").headers
    whole = place.call("put_object", "b", b"123456789", opc_checksum_algorithm=algorithm).headers[name]

    if algorithm == "CRC32C":
        assert made[name] == head[name] == whole
    else:
        digests = [hashlib.new(algorithm, body).digest() for body in (b"12345", b"6789")]
        composite = base64.b64encode(hashlib.new(algorithm, b"".join(digests)).digest()).decode()
        name = f"opc-multipart-{algorithm.lower()}"
        assert made[name] == head[name] == f"{composite}-2"


def test_parts_need_the_upload_s_checksum(place: Place) -> None:
    """A part without the upload's checksum algorithm is refused."""
    upload = start(place, opc_checksum_algorithm="SHA256")

    assert place.refused("upload_part", "a", upload, 1, b"1") == (400, "MissingOrInvalidChecksumType")


def test_customer_keys(place: Place) -> None:
    """Every part must have the customer key of its upload."""
    upload = start(place, details=None, **SSE_C)

    assert place.refused("upload_part", "a", upload, 1, b"1")[0] == 400
    etag = put_part(place, upload, 1, b"1", **SSE_C)
    place.call("commit_multipart_upload", "a", upload, chosen({1: etag}))

    assert place.refused("get_object", "a")[0] == 400
    assert place.read("a", **SSE_C) == b"1"


class TestUploadManager:
    """
    Uploads with the SDK's UploadManager.
    """

    body = b"".join(bytes([number]) * MIB for number in range(7)) + b"end"

    def test_file_in_parts(self, place: Place, tmp_path: Path) -> None:
        """A file is uploaded in parallel parts."""
        from oci.object_storage import UploadManager

        (tmp_path / "a").write_bytes(self.body)
        manager = UploadManager(place.client, allow_parallel_uploads=True, parallel_process_count=3)

        made = manager.upload_file(
            place.namespace, place.bucket, "a", str(tmp_path / "a"), part_size=3 * MIB, metadata={"x": "1"}
        )

        assert place.read("a") == self.body
        pieces = [self.body[at : at + 3 * MIB] for at in range(0, len(self.body), 3 * MIB)]
        assert made.headers["opc-multipart-md5"] == multipart_md5(*pieces)
        assert place.call("head_object", "a").headers["opc-meta-x"] == "1"

    def test_small_file(self, place: Place, tmp_path: Path) -> None:
        """A small file is uploaded in one request."""
        from oci.object_storage import UploadManager

        (tmp_path / "a").write_bytes(b"small")

        UploadManager(place.client).upload_file(place.namespace, place.bucket, "a", str(tmp_path / "a"))

        assert place.read("a") == b"small"

    def test_stream(self, place: Place) -> None:
        """A stream of unknown length is uploaded."""
        from oci.object_storage import UploadManager

        UploadManager(place.client, allow_parallel_uploads=True).upload_stream(
            place.namespace, place.bucket, "a", io.BytesIO(self.body), part_size=2 * MIB
        )

        assert place.read("a") == self.body

    @pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256", "SHA384"])
    def test_checksums_from_the_sdk(self, place: Place, tmp_path: Path, algorithm: str) -> None:
        """Part checksums computed by the SDK match."""
        from oci.object_storage import UploadManager

        (tmp_path / "a").write_bytes(self.body)

        UploadManager(place.client).upload_file(
            place.namespace,
            place.bucket,
            "a",
            str(tmp_path / "a"),
            part_size=3 * MIB,
            opc_checksum_algorithm=algorithm,
        )

        assert place.read("a") == self.body

    def test_resuming(self, place: Place, tmp_path: Path) -> None:
        """Resuming does not send existing parts again."""
        from oci.object_storage import UploadManager

        (tmp_path / "a").write_bytes(self.body)
        upload = start(place)
        put_part(place, upload, 2, self.body[3 * MIB : 6 * MIB])
        server = place.server.server
        before = len(server.requests)

        UploadManager(place.client).resume_upload_file(
            place.namespace, place.bucket, "a", str(tmp_path / "a"), upload, part_size=3 * MIB
        )

        assert place.read("a") == self.body
        sent = [one.path for one in server.requests[before:] if one.method == "PUT"]
        assert sorted(path.rpartition("uploadPartNum=")[2] for path in sent) == ["1", "3"]

"""
The replies of five services to any request about a few objects, as short as their readers allow.

They are what the servers of these tests deviate from.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from awscrt import checksums

DATE: Final = "Mon, 02 Jan 2023 03:04:05 GMT"
_TIME: Final = "2023-01-02T03:04:05Z"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Asked:
    """
    A request as a service sees it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """Its decoded path."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """Its parameters."""
        found = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[0] for name, values in found.items()}

    def range_of(self, size: int) -> tuple[int, int] | None:
        """Return start and end of the requested bytes of an object of *size*; ``None`` for all of them."""
        match = _RANGE.fullmatch(self.headers.get("range") or self.headers.get("x-ms-range") or "")
        if match is None:
            return None
        first, last = match.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(int(last) + 1, size) if last else size


@dataclass
class Said:
    """
    A reply that can still be changed. ``Content-Length`` is added when it is sent.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Content:
    """
    One version of the object that every key names.
    """

    data: bytes
    etag: str

    @property
    def crc(self) -> str:
        """Its CRC32C, as headers have it."""
        return base64.b64encode(struct.pack(">I", checksums.crc32c(self.data))).decode()


Service = Callable[[Asked, Content], Said]


def read_object(asked: Asked, content: Content, headers: Mapping[str, str]) -> Said:
    """
    Return the reply to a GET or HEAD of the object.
    """
    said = {"ETag": f'"{content.etag}"', "Last-Modified": DATE, **headers}
    data = content.data
    if (part := asked.range_of(len(data))) is None:
        return Said(200, {**said, "Content-Length": str(len(data))}, b"" if asked.method == "HEAD" else data)
    start, end = part
    if start >= len(data):
        return Said(416)
    return Said(206, {**said, "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}, data[start:end])


def _xml(text: str, **headers: str) -> Said:
    return Said(200, {"Content-Type": "application/xml", **headers}, text.encode())


def _json(value: Any, status: int = 200, **headers: str) -> Said:
    return Said(status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def s3(asked: Asked, content: Content) -> Said:
    """
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
    """
    tagged = f'<ETag>"{content.etag}"</ETag>'
    entry = f"<Key>k</Key><Size>{len(content.data)}</Size>{tagged}<LastModified>{_TIME}</LastModified>"
    documents = {
        ("GET", "list-type"): (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
            f"<Contents>{entry}</Contents></ListBucketResult>"
        ),
        ("GET", "versions"): (
            f"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
            f"<Version>{entry}<VersionId>v</VersionId></Version></ListVersionsResult>"
        ),
        ("GET", "uploads"): (
            f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>"
            f"<Initiated>{_TIME}</Initiated></Upload></ListMultipartUploadsResult>"
        ),
        ("GET", "uploadId"): (
            f"<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>{tagged}"
            f"<Size>4</Size></Part></ListPartsResult>"
        ),
        ("GET", "tagging"): "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        ("POST", "uploads"): "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        ("POST", "uploadId"): f"<CompleteMultipartUploadResult>{tagged}</CompleteMultipartUploadResult>",
        ("POST", "delete"): "<DeleteResult></DeleteResult>",
    }
    for (method, name), text in documents.items():
        if asked.method == method and name in asked.query:
            return _xml(text)
    if asked.method == "PUT" and "x-amz-copy-source" in asked.headers:
        tag = "CopyPartResult" if "partNumber" in asked.query else "CopyObjectResult"
        return _xml(f"<{tag}>{tagged}</{tag}>")
    if asked.method == "PUT":
        return Said(200, {"ETag": f'"{content.etag}"'})
    if asked.method == "DELETE":
        return Said(204)
    return read_object(asked, content, {"x-amz-checksum-crc32c": content.crc} if "range" not in asked.headers else {})


def gcs(asked: Asked, content: Content) -> Said:
    """
    https://cloud.google.com/storage/docs/json_api/v1 and https://cloud.google.com/storage/docs/xml-api/overview
    """
    size = str(len(content.data))
    found = {"name": "k", "size": size, "generation": content.etag, "updated": _TIME, "crc32c": content.crc}
    if asked.path.startswith("/batch"):
        ids = re.findall(rb"Content-ID: <item(\d+)>", asked.body)
        parts = [b"--b\r\nContent-ID: <response-item%s>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n" % one for one in ids]
        return Said(200, {"Content-Type": "multipart/mixed; boundary=b"}, b"".join([*parts, b"--b--"]))
    if not asked.path.startswith(("/storage", "/upload")):
        if (asked.method == "GET" and "uploads" in asked.query) or (asked.method != "GET" and asked.query):
            return s3(asked, content)
        extra = {"x-goog-generation": content.etag, "x-goog-hash": f"crc32c={content.crc}"}
        return read_object(asked, content, extra)
    if asked.method == "DELETE":
        return Said(204)
    if asked.method == "GET" and asked.path.endswith("/o"):
        return _json({"items": [found]})
    if "rewriteTo" in asked.path:
        return _json({"done": True, "resource": found, "totalBytesRewritten": size, "objectSize": size})
    if asked.query.get("uploadType") == "resumable" and asked.method == "POST":
        return Said(200, {"Location": "/upload/storage/v1/b/bucket/o?upload_id=1"})
    if asked.path.startswith("/upload"):
        # The size and the checksum are those of what was sent, under the name that was sent.
        found.pop("crc32c")
        found |= {"name": asked.query.get("name", "k"), "size": str(_received(asked))}
    return _json(found)


def _received(asked: Asked) -> int:
    """
    Return the number of bytes that an upload to GCS wrote.
    """
    if asked.query.get("uploadType") == "multipart":
        # A document, then the bytes.
        return len(asked.body.split(b"\r\n\r\n", 2)[2].rpartition(b"\r\n--")[0])
    total = asked.headers.get("content-range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else len(asked.body)


def azure(asked: Asked, content: Content) -> Said:
    """
    https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
    """
    comp = asked.query.get("comp")
    if asked.method == "GET" and comp == "list":
        properties = (
            f"<Last-Modified>{DATE}</Last-Modified><Etag>{content.etag}</Etag>"
            f"<Content-Length>{len(content.data)}</Content-Length>"
        )
        blob = f"<Blob><Name>k</Name><Properties>{properties}</Properties></Blob>"
        return _xml(f"<EnumerationResults><Blobs>{blob}</Blobs><NextMarker /></EnumerationResults>")
    if asked.method == "GET" and comp == "blocklist":
        return _xml("<BlockList><UncommittedBlocks></UncommittedBlocks></BlockList>")
    if asked.method == "GET" and comp == "tags":
        return _xml("<Tags><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tags>")
    if asked.method == "POST":
        ids = re.findall(rb"Content-ID: (\d+)", asked.body)
        parts = [
            b"--b\r\nContent-Type: application/http\r\nContent-ID: %s\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n" % one
            for one in ids
        ]
        return Said(202, {"Content-Type": "multipart/mixed; boundary=b"}, b"".join([*parts, b"--b--"]))
    if asked.method == "PUT":
        copied = {"x-ms-copy-status": "success"} if "x-ms-copy-source" in asked.headers else {}
        return Said(201, {"ETag": f'"{content.etag}"', "Last-Modified": DATE, **copied})
    if asked.method == "DELETE":
        return Said(202)
    return read_object(asked, content, {"x-ms-blob-type": "BlockBlob"})


def _deleted(asked: Asked) -> list[Any]:
    return json.loads(asked.body)["objects"] if asked.path.endswith("/batchDeleteObjects") else []


def oci(asked: Asked, content: Content) -> Said:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/
    """
    found = {"name": "k", "size": len(content.data), "etag": content.etag, "timeModified": _TIME}
    upload = {"object": "k", "uploadId": "u", "timeCreated": _TIME}
    documents: dict[tuple[str, str], Any] = {
        ("POST", "/actions/batchDeleteObjects"): {"deleted": _deleted(asked), "failed": []},
        ("GET", "/workRequests/w"): {"status": "COMPLETED"},
        ("GET", "/objectversions"): {"items": [{**found, "versionId": "v", "isDeleteMarker": False}]},
        ("GET", "/o"): {"objects": [found]},
        ("POST", "/u"): upload,
        ("GET", "/u"): [upload],
        ("GET", "/u/t/k"): [{"partNumber": 1, "etag": content.etag, "size": 4}],
    }
    for (method, end), document in documents.items():
        if asked.method == method and asked.path.endswith(end):
            return _json(document)
    if asked.path.endswith("/actions/copyObject"):
        return Said(202, {"opc-work-request-id": "w"})
    if asked.method in ("PUT", "POST"):
        return Said(200, {"ETag": content.etag, "Last-Modified": DATE})
    if asked.method == "DELETE":
        return Said(204)
    return read_object(asked, content, {"opc-content-crc32c": content.crc})


def github(asked: Asked, content: Content) -> Said:
    """
    https://docs.github.com/rest/releases
    """
    host = f"http://{asked.headers['host']}"
    asset = {"id": int(content.etag), "name": "k", "size": len(content.data), "state": "uploaded", "updated_at": _TIME}
    release = {"id": 1, "tag_name": "t", "upload_url": f"{host}/upload/1/assets{{?name}}", "assets": [asset]}
    if asked.path.startswith("/bytes/"):
        return read_object(asked, content, {})
    if asked.method == "DELETE":
        return Said(204)
    if asked.path.startswith("/upload/"):
        return _json({**asset, "id": 99, "name": asked.query.get("name", "k"), "size": len(asked.body)}, 201)
    if "/releases/assets/" in asked.path:
        if asked.method == "PATCH":
            return _json({**asset, "id": 99, "name": json.loads(asked.body)["name"]})
        return Said(302, {"Location": f"{host}/bytes/{content.etag}"})
    if asked.path.endswith("/releases") and asked.method == "GET":
        return _json([release])
    return _json(release)


SERVICES: Final[Mapping[str, Service]] = {"s3": s3, "gcs": gcs, "azure": azure, "oci": oci, "github": github}

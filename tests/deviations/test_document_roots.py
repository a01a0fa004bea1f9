"""
Documents whose root element has another name or namespace: AWS's SDKs ignore both.
"""

from __future__ import annotations

import pytest

from asyncstore import MiB, UnavailableError, UploadOptions
from asyncstore.http.xml import expect, parse
from tests.deviations.good_replies import Asked, Said
from tests.deviations.hostile import Sending
from tests.deviations.loose_s3 import LooseS3, loose_s3
from tests.deviations.server import opened, serving

PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
NAMES = [
    "InitiateMultipartUploadResult",
    "ListPartsResult",
    "ListBucketResult",
    "CompleteMultipartUploadResult",
    "ListMultipartUploadsResult",
]


@pytest.mark.parametrize("name", NAMES)
async def test_other_name(name: str) -> None:
    """
    Every verb reads a document by its content.
    """
    server = LooseS3(roots={name: "SomethingElse"})
    async with loose_s3(server) as storage:
        uri = storage.root / "k"
        await storage.put(uri, bytes(6 * MiB), options=PARTS)
        assert [part.number async for part in storage.list_parts(uri, "u1")] == [1, 2]
        assert [info.key async for info in storage.list()] == ["k"]
        assert not [upload async for upload in storage.list_multipart_uploads()]


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>Sign in</body></html>",
        "<ListAllMyBucketsResult><Owner/></ListAllMyBucketsResult>",
        "<SomethingElse/>",
        "<Error><Code>x</Code><IsTruncated>false</IsTruncated></Error>",
        "<ListPartsResponse><Owner><UploadId>u</UploadId></Owner></ListPartsResponse>",
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_other_document(name: str, text: str) -> None:
    """
    A page of a portal, an empty document or an error is not taken for an empty listing.
    """
    with pytest.raises(UnavailableError, match=name):
        expect(text.encode(), name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_document_of_another_request(name: str, other: str) -> None:
    """
    A server that ignores a parameter such as ``versions`` answers another request, which is no empty page of this one.
    """
    text = f"<{other}><IsTruncated>false</IsTruncated><ETag>e</ETag><UploadId>u</UploadId></{other}>".encode()
    if name == other:
        assert expect(text, name).tag == name
        return
    with pytest.raises(UnavailableError, match=name):
        expect(text, name)


@pytest.mark.parametrize(
    "text",
    [
        '<a xmlns="u:1"><b>1</b></a>',
        "<a xmlns='u:1'><b>1</b></a>",
        '<x:a xmlns:x="u:1"><x:b>1</x:b></x:a>',
        '<a><b xmlns="u:1">1</b></a>',
        '<a xmlns="u:1"><b xmlns="u:2">1</b></a>',
        '<a xmlns:x="u:1"><x:b>1</x:b></a>',
    ],
)
def test_namespaces(text: str) -> None:
    """
    A namespace anywhere, with or without a prefix, does not hide an element.
    """
    root = parse(text.encode())
    assert root is not None
    assert (root.tag, root.findtext("b")) == ("a", "1")


@pytest.mark.parametrize("provider", ["s3", "gcs", "oci"])
async def test_upload_without_an_id(provider: str) -> None:
    """
    A multipart upload whose id is empty was not initiated: the id would name another request.
    """

    def without(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked)
        if asked.method == "POST":
            said.body = said.body.replace(b">u<", b"><").replace(b'"uploadId": "u"', b'"uploadId": ""')
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = without
        with pytest.raises(UnavailableError):
            await storage.initiate_multipart_upload(storage.root / "t" / "k")


async def test_asset_that_is_not_stored_yet() -> None:
    """
    GitHub's state "starter" names an asset whose bytes have not all arrived: it is uploaded again.
    """
    states = iter(["starter"])

    def unfinished(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked)
        if asked.path.startswith("/upload/"):
            said.body = said.body.replace(b'"state": "uploaded"', b'"state": "%s"' % next(states, "uploaded").encode())
        return said, Sending()

    async with serving("github") as server, opened("github", server.url) as storage:
        server.answer = unfinished
        info = await storage.put(storage.root / "t" / "new", b"data")

    assert 4 == info.size
    assert 2 == sum(asked.path.startswith("/upload/") for asked in server.asked)

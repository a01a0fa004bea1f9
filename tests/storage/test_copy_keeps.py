"""
What copies keep, on every path, and what their results say of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from asyncstore import Storage, ThrottledError, copy_between, open_storage
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine.progress import measured
from asyncstore.options import CopyOptions, GiB, MiB, UploadOptions, WriteOptions
from asyncstore.storage.copy_between import into
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import CopyResult, ProgressEvent
from tests.servers.scripted import Exchange, reply, scripted

TAGS: Final = {"stage": "raw"}
TAG_XML: Final = b"<T><TagSet><Tag><Key>stage</Key><Value>raw</Value></Tag></TagSet></T>"
NO_TAGS: Final = b"<T><TagSet/></T>"


@dataclass
class Service:
    """
    A service with one source, which it announces by its headers, and notes what is written.

    Attributes:
        writes: The headers of each write, and its query.
        tagged: What was set as tags.
        refuse_tags: Answer questions about tags with 403.
    """

    size: int
    headers: Mapping[str, str]
    refuse_tags: bool = False
    writes: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    tagged: list[bytes] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.body()
        url = urlsplit(exchange.target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if "tagging" in query or query.get("comp") == "tags":
            await self._tags(exchange, url.path, body)
        elif exchange.method == "HEAD":
            facts = {"ETag": '"0x1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", **self.headers}
            if self.writes and url.path.endswith("/target"):
                # The copy has what was asked for.
                facts = {name: value for name, value in facts.items() if name != "x-amz-storage-class"}
                facts |= {name: v for name, v in self.writes[0][0].items() if name == "x-amz-storage-class"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
            await exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {self.size}\r\n{lines}\r\n".encode())
        else:
            self.writes.append((exchange.headers, query))
            await exchange.send(self._written(exchange, query))

    async def _tags(self, exchange: Exchange, path: str, body: bytes) -> None:
        if self.refuse_tags:
            await exchange.send(reply(403, b"<Error><Code>AccessDenied</Code></Error>"))
        elif exchange.method == "PUT":
            self.tagged.append(body)
            await exchange.send(reply(200))
        else:
            text = TAG_XML if path.endswith("/source") else NO_TAGS
            await exchange.send(
                reply(200, text.replace(b"T>", b"Tagging>") if "tagging" in exchange.target else tags(text))
            )

    def _written(self, exchange: Exchange, query: Mapping[str, str]) -> bytes:
        if "uploads" in query:
            return reply(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
        if "partNumber" in query:
            return reply(200, b'<CopyPartResult><ETag>"p"</ETag></CopyPartResult>')
        if "uploadId" in query:
            return reply(200, b'<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
        if "x-amz-copy-source" in exchange.headers:
            return reply(200, b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>')
        return reply(201, ETag='"0x2"', x_ms_copy_status="success")


def tags(text: bytes) -> bytes:
    return text.replace(b"T>", b"Tags>")


def opened(provider: str, url: str, **settings: Any) -> Storage:
    if provider == "s3":
        keys: dict[str, Any] = {"access_key_id": "AKIAFAKE", "secret_access_key": "fake", "region": "us-east-1"}
        return open_storage("s3://bucket", endpoint_url=url, **keys, **settings)
    return open_storage("azure://container", endpoint_url=f"{url}/acct", account_key="ZmFrZS1rZXk=", **settings)


async def copied(service: Service, provider: str, options: CopyOptions | None = None, **settings: Any) -> CopyResult:
    async with scripted(service) as server, opened(provider, server.url, **settings) as storage:
        return await storage.copy(storage.root / "source", storage.root / "target", options=options or CopyOptions())


S3_SIZES: Final = {"one request": 5, "parts": 6 * GiB}


@pytest.mark.parametrize("size", S3_SIZES.values(), ids=S3_SIZES)
async def test_class_on_s3(size: int) -> None:
    """
    A copy has the class of its source.
    """
    service = Service(size, {"x-amz-storage-class": "STANDARD_IA"})
    result = await copied(service, "s3")

    assert service.writes[0][0]["x-amz-storage-class"] == "STANDARD_IA"
    assert (result.storage_class, result.not_kept) == ("STANDARD_IA", frozenset())


@pytest.mark.parametrize("size", S3_SIZES.values(), ids=S3_SIZES)
@pytest.mark.parametrize("found", [{}, {"x-amz-storage-class": "EXPRESS_ONEZONE"}])
async def test_class_that_nobody_asks_for(size: int, found: dict[str, str]) -> None:
    """
    A class that the kind of the bucket implies is not asked for in another one.
    """
    service = Service(size, found)
    await copied(service, "s3")

    assert "x-amz-storage-class" not in service.writes[0][0]


@pytest.mark.parametrize("size", S3_SIZES.values(), ids=S3_SIZES)
async def test_class_that_was_chosen(size: int) -> None:
    """
    A class can be chosen without replacing the metadata.
    """
    service = Service(size, {"x-amz-storage-class": "STANDARD_IA", "x-amz-meta-a": "1"})
    await copied(service, "s3", CopyOptions(storage_class="GLACIER_IR"))

    sent = service.writes[0][0]
    assert sent["x-amz-storage-class"] == "GLACIER_IR"
    assert "x-amz-metadata-directive" not in sent
    assert sent.get("x-amz-meta-a") == (None if size == 5 else "1")


async def test_tags_of_a_multipart_copy_on_s3() -> None:
    """
    A multipart copy has the tags of its source.
    """
    service = Service(6 * GiB, {})
    result = await copied(service, "s3")

    assert [b"<Key>stage</Key><Value>raw</Value>" in body for body in service.tagged] == [True]
    assert result.not_kept == frozenset()


async def test_tags_that_cannot_be_read() -> None:
    """
    If tags cannot be read, the copy is made, and its result says that it lacks them.
    """
    service = Service(6 * GiB, {}, refuse_tags=True)
    result = await copied(service, "s3")

    assert result.not_kept == {"tags"}
    assert len(service.writes) > 2


async def test_encryption_of_a_multipart_copy() -> None:
    """
    The encryption that the settings name is that of a multipart copy, too.
    """
    for size in S3_SIZES.values():
        service = Service(size, {})
        await copied(service, "s3", sse="aws:kms", sse_kms_key_id="key-1")

        assert service.writes[0][0]["x-amz-server-side-encryption"] == "aws:kms"
        assert service.writes[0][0]["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"


@pytest.mark.parametrize(
    ("size", "settings"),
    [(5, {}), (300 * MiB, {}), (300 * MiB, {"async_copy": True})],
    ids=["one request", "parts", "asynchronous"],
)
async def test_tier_and_tags_on_azure(size: int, settings: dict[str, Any]) -> None:
    """
    A copy has the tier and the tags of its source.
    """
    service = Service(size, {"x-ms-access-tier": "Cool", "x-ms-tag-count": "1"})
    result = await copied(service, "azure", **settings)

    sent = service.writes[-1][0]
    assert sent["x-ms-access-tier"] == "Cool"
    if service.tagged:
        assert b"<Key>stage</Key><Value>raw</Value>" in service.tagged[0]
    elif "x-ms-tags" in sent:
        assert sent["x-ms-tags"] == "stage=raw"
    else:
        assert sent["x-ms-copy-source-tag-option"] == "COPY"
        # The signature that lets the service read the source includes its tags.
        assert re.search(r"[?&]sp=rt&", unquote(sent["x-ms-copy-source"]))
    assert (result.storage_class, result.not_kept) == ("Cool", frozenset())


@pytest.mark.parametrize("size", [0, 5])
async def test_tags_of_a_copy_with_other_headers_on_azure(size: int) -> None:
    """
    A copy that replaces the headers keeps the tags, as it does on S3.
    """
    service = Service(size, {"x-ms-access-tier": "Cool", "x-ms-tag-count": "1"})
    await copied(service, "azure", CopyOptions(replace=WriteOptions(content_type="a/b")))

    sent = service.writes[-1][0]
    assert sent["x-ms-tags"] == "stage=raw"
    assert "x-ms-access-tier" not in sent


async def test_default_tier_of_the_account() -> None:
    """
    A tier that the account has by default is not made the blob's own.
    """
    service = Service(5, {"x-ms-access-tier": "Hot", "x-ms-access-tier-inferred": "true"})
    result = await copied(service, "azure")

    sent = service.writes[0][0]
    assert "x-ms-access-tier" not in sent
    assert "x-ms-copy-source-tag-option" not in sent
    assert result.storage_class == "Hot"


async def test_tags_of_the_settings() -> None:
    """
    Tags that the settings give to every blob do not remove those of the source.
    """
    service = Service(5, {"x-ms-tag-count": "1"})
    result = await copied(service, "azure", tags={"own": "1"})

    assert service.writes[0][0]["x-ms-tags"] == "own=1"
    assert b"<Key>stage</Key><Value>raw</Value>" in service.tagged[0]
    assert result.not_kept == frozenset()


def test_class_in_two_places() -> None:
    """
    A class that is named twice is refused.
    """
    with pytest.raises(ValueError, match="storage class of a copy"):
        CopyOptions(storage_class="Cool", replace=WriteOptions())


async def test_between_storages() -> None:
    """
    A copy between two storages has headers and metadata; within one provider, the class too.
    """
    options = UploadOptions(content_language="de", metadata={"a": "1"}, storage_class="GLACIER")
    async with open_storage("memory://one") as one, open_storage("memory://two") as two:
        await one.put(one.root / "key", b"data", options=options)

        result = await copy_between(one, one.root / "key", two, two.root / "key")

        found = await two.stat(two.root / "key")
    assert (found.content_language, found.metadata, found.storage_class) == ("de", {"a": "1"}, "GLACIER")
    assert (result.storage_class, result.not_kept) == ("GLACIER", frozenset())


@pytest.mark.parametrize("target", ["memory://two", "file"])
async def test_tags_between_storages(target: str, tmp_path: Any) -> None:
    """
    A copy between two storages has the tags of its source, or says that it has not.
    """
    uri = f"file://{tmp_path}" if target == "file" else target
    async with open_storage("memory://one") as one, open_storage(uri) as two:
        await one.put(one.root / "key", b"data")
        await one.set_tags(one.root / "key", TAGS)

        result = await copy_between(one, one.root / "key", two, two.root / "key")

        if target == "file":
            assert result.not_kept == {"tags"}
        else:
            assert result.not_kept == frozenset()
            assert await two.get_tags(two.root / "key") == TAGS


@pytest.mark.parametrize(
    ("provider", "header"), [("s3", "x-amz-tagging-count"), ("azure", "x-ms-tag-count"), ("s3", None)]
)
async def test_tags_are_copied_only_if_there_are_some(provider: str, header: str | None) -> None:
    """
    The reply with the bytes says whether there are tags, so that other objects cost no request more.
    """
    asked = []

    async def answer(exchange: Exchange) -> None:
        asked.append(exchange.target)
        if "tagging" in exchange.target or "comp=tags" in exchange.target:
            text = TAG_XML.replace(b"T>", b"Tagging>") if provider == "s3" else tags(TAG_XML)
            await exchange.send(reply(200, text))
        else:
            named = f"{header}: 1\r\n" if header else ""
            facts = f'ETag: "0x1"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n{named}'
            kind = "x-ms-blob-type: BlockBlob\r\n"
            await exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{facts}{kind}\r\ndata".encode())

    async with scripted(answer) as server, open_storage("memory://two") as two:
        async with opened(provider, server.url) as one:
            await copy_between(one, one.root / "source", two, two.root / "key")
        kept = await two.get_tags(two.root / "key")

    assert kept == (TAGS if header else {})
    assert len(asked) == (2 if header else 1)


async def test_progress_of_a_copy_within_another_operation() -> None:
    """
    The meter of the whole counts the copy's bytes, and each of its retries by its kind.
    """
    events: list[ProgressEvent] = []
    faults = FaultyDriver(MemoryDriver())
    async with faults.storage("memory://bucket") as storage:
        await storage.put(storage.root / "a", b"data")
        faults.fail("copy", ThrottledError("busy"), times=1)
        faults.fail("copy", times=1)
        with measured(events.append, storage.root / "b") as meter:
            await storage.copy(storage.root / "a", storage.root / "b", progress=into(meter))

    assert 2 == events[-1].retries
    assert ["throttle", "retry"] == [event.kind for event in events if event.kind in ("retry", "throttle")]
    assert 4 == events[-1].bytes_done


async def test_between_providers(tmp_path: Any) -> None:
    """
    What the target cannot hold is in the result.
    """
    options = UploadOptions(metadata={"a": "1"}, storage_class="GLACIER")
    async with open_storage("memory://one") as one, open_storage(f"file://{tmp_path}") as two:
        await one.put(one.root / "key", b"data", options=options)

        result = await copy_between(one, one.root / "key", two, two.root / "key")

        assert (await two.stat(two.root / "key")).metadata == {"a": "1"}
    assert result.not_kept == {"storage_class"}


async def test_class_on_memory() -> None:
    """
    A copy keeps the class, or has the one that was chosen; an object's own class can be changed in place.
    """
    async with open_storage("memory://bucket") as storage:
        await storage.put(storage.root / "a", b"data", options=UploadOptions(storage_class="COLD", metadata={"a": "1"}))
        kept = await storage.copy(storage.root / "a", storage.root / "b")
        chosen = await storage.copy(storage.root / "a", storage.root / "a", options=CopyOptions(storage_class="WARM"))
        found = await storage.stat(storage.root / "a")

    assert (kept.storage_class, chosen.storage_class, found.storage_class) == ("COLD", "WARM", "WARM")
    assert found.metadata == {"a": "1"}

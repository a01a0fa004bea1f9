"""
Presigned URLs, used by a plain HTTP client.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from asyncstore.checksum import compute
from asyncstore.errors import ConfigurationError, InvalidRequestError, NotSupportedError
from asyncstore.options import PRESIGN_FIELDS, ByteRange, DeleteOptions, PresignOptions
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, tagged
from asyncstore.testing.conformance.payloads import payload
from asyncstore.types import Checksum, ChecksumAlgorithm, Part, PresignedPost, PresignedURL

if TYPE_CHECKING:
    from asyncstore.storage import Storage
    from asyncstore.testing.faults import FaultyDriver

# How services refuse what a URL does not allow.
_REFUSED: Final = (400, 401, 403, 404, 405, 409, 412)

_RESPONSE: Final = {
    "response_content_type": ("Content-Type", "application/x-asyncstore"),
    "response_content_disposition": ("Content-Disposition", 'attachment; filename="a b.txt"'),
    "response_content_language": ("Content-Language", "de"),
    "response_cache_control": ("Cache-Control", "no-store"),
    # No client decodes it.
    "response_content_encoding": ("Content-Encoding", "identity"),
}

#: A value of each option, for those that a provider refuses.
BOUND: Final[dict[str, dict[str, Any]]] = {
    "content_type": {"content_type": "text/plain"},
    "checksum": {"checksum": Checksum(ChecksumAlgorithm.CRC32C, bytes(4))},
    "if_none_match": {"if_none_match": "*"},
    "part_number": {"upload_id": "id", "part_number": 1},
    "range": {"range": ByteRange(0, 5)},
    "version_id": {"version_id": "1"},
    **{name: {name: value} for name, (_, value) in _RESPONSE.items()},
}


class Presigning(Harness):
    """
    A presigned URL allows what was asked for, and nothing else.
    """

    @requires("sign")
    async def test_url_says_what_it_is(self, storage: Storage) -> None:
        """
        A URL is text that says when it expires, is pickled with that, and whose repr has no signature.
        """
        url = await storage.presign(storage.root / "key", expires=timedelta(minutes=90))

        assert isinstance(url, PresignedURL)
        assert timedelta(minutes=80) < url.expires_at - datetime.now(UTC) < timedelta(minutes=100)
        assert str(url).startswith("http")
        assert str(url) not in repr(url)
        assert "***" in repr(url)
        copied = pickle.loads(pickle.dumps(url))  # noqa: S301 - our own
        assert (copied, copied.expires_at, copied.headers) == (str(url), url.expires_at, url.headers)

    @requires("sign")
    async def test_url_to_head(self, storage: Storage) -> None:
        """
        A URL for HEAD tells the size, and does not read.
        """
        await storage.put(storage.root / "key", b"data")
        url = await storage.presign(storage.root / "key", method="HEAD")

        async with self.http_session() as session, session.head(URL(url, encoded=True), headers=url.headers) as reply:
            assert (reply.status, reply.headers["Content-Length"]) == (200, "4")

    @requires("sign")
    async def test_url_to_delete(self, storage: Storage) -> None:
        """
        A URL for DELETE deletes.
        """
        await storage.put(storage.root / "key", b"data")
        url = await storage.presign(storage.root / "key", method="DELETE")

        async with self.http_session() as session, session.delete(URL(url, encoded=True)) as reply:
            assert reply.status < 300
        assert not await storage.exists(storage.root / "key")

    @requires("sign")
    @tagged("signatures")
    async def test_url_with_a_content_type(self, storage: Storage) -> None:
        """
        A PUT must have the content type that was signed, which is then that of the object.
        """
        _binds(storage, "content_type")
        target = storage.root / "key"
        url = await storage.presign(target, method="PUT", content_type="application/x-asyncstore")

        assert await _put(self, url, b"data", {"Content-Type": "text/html"}) in _REFUSED
        assert not await storage.exists(target)
        assert await _put(self, url, b"data") < 300
        assert (await storage.stat(target)).content_type == "application/x-asyncstore"

    @requires("sign")
    @tagged("signatures")
    async def test_url_with_a_checksum(self, storage: Storage) -> None:
        """
        A PUT must have the bytes whose checksum was signed, and must send it.
        """
        _binds(storage, "checksum")
        target = storage.root / "key"
        for algorithm in sorted(storage.capabilities.checksums):
            checksum = compute(algorithm, b"data")
            url = await storage.presign(target, method="PUT", checksum=checksum)

            assert await _put(self, url, b"other") in _REFUSED
            assert await _put(self, PresignedURL(url, url.expires_at), b"data") in _REFUSED
            assert not await storage.exists(target)
            assert await _put(self, url, b"data") < 300
            assert await storage.read(target) == b"data"
            await storage.delete(target)

    @requires("sign", "conditional_create")
    @tagged("signatures")
    async def test_url_that_only_creates(self, storage: Storage) -> None:
        """
        A PUT with ``if_none_match`` writes a new object, and never replaces one.
        """
        _binds(storage, "if_none_match")
        url = await storage.presign(storage.root / "key", method="PUT", if_none_match="*")

        assert await _put(self, url, b"data") < 300
        assert await _put(self, url, b"other") in _REFUSED
        bare = {name: value for name, value in url.headers.items() if name.lower() == "x-ms-blob-type"}
        assert await _put(self, PresignedURL(url, url.expires_at, bare), b"other") in _REFUSED
        assert await storage.read(storage.root / "key") == b"data"

    @requires("sign")
    @tagged("signatures")
    async def test_url_of_a_range(self, storage: Storage) -> None:
        """
        A GET must ask for the range that was signed.
        """
        _binds(storage, "range")
        await storage.put(storage.root / "key", b"0123456789")
        url = await storage.presign(storage.root / "key", range=(2, 5))

        async with self.http_session() as session:
            async with session.get(URL(url, encoded=True), headers=url.headers) as reply:
                assert (reply.status, await reply.read()) == (206, b"234")
            async with session.get(URL(url, encoded=True)) as reply:
                assert reply.status in _REFUSED

    @requires("sign", "versions")
    async def test_url_of_a_version(self, versioned: Storage) -> None:
        """
        A GET or HEAD reads the version that was signed, which a URL for DELETE deletes for good.
        """
        _binds(versioned, "version_id")
        target = versioned.root / "key"
        for data in (b"one", b"second"):
            await versioned.put(target, data)
        (old,) = [info async for info in versioned.list_versions(target) if info.size == 3]
        assert old.version_id is not None
        read, head = [await versioned.presign(target, method=way, version_id=old.version_id) for way in ("GET", "HEAD")]

        async with self.http_session() as session:
            async with session.get(URL(read, encoded=True)) as reply:
                assert (reply.status, await reply.read()) == (200, b"one")
            async with session.head(URL(head, encoded=True)) as reply:
                assert (reply.status, reply.headers["Content-Length"]) == (200, "3")
        await versioned.delete(target, options=DeleteOptions(version_id=old.version_id))
        assert await versioned.read(target) == b"second"

    @requires("sign")
    @tagged("signatures")
    @pytest.mark.parametrize("name", _RESPONSE)
    async def test_url_with_a_header_of_the_reply(self, storage: Storage, name: str) -> None:
        """
        The reply to a GET has the header that was signed, which the holder of the URL cannot change.
        """
        _binds(storage, name)
        header, value = _RESPONSE[name]
        await storage.put(storage.root / "key", b"data", content_type="text/plain")
        bound: dict[str, Any] = {name: value}
        url = await storage.presign(storage.root / "key", options=PresignOptions(**bound))
        changed = url.replace(quote(value, safe=""), "other")

        assert changed != url
        async with self.http_session() as session:
            async with session.get(URL(url, encoded=True)) as reply:
                assert (reply.status, reply.headers[header], await reply.read()) == (200, value, b"data")
            async with session.get(URL(changed, encoded=True)) as reply:
                assert reply.status in _REFUSED

    @requires("sign", "multipart")
    async def test_url_of_a_part(self, storage: Storage) -> None:
        """
        A PUT to the URL of a part writes that part, and the upload is completed with the ETag of the reply.
        """
        _binds(storage, "upload_id")
        target = storage.root / "key"
        data = [payload(storage.capabilities.min_part_size), b"end"]
        upload_id = await storage.initiate_multipart_upload(target)
        parts = []

        for number, body in enumerate(data, 1):
            url = await storage.presign(target, method="PUT", upload_id=upload_id, part_number=number)
            sending: dict[str, Any] = {"data": BytesIO(body), "headers": url.headers}
            async with self.http_session() as session, session.put(URL(url, encoded=True), **sending) as reply:
                assert reply.status < 300
                parts.append(Part(number, reply.headers["ETag"].strip('"'), len(body)))

        assert not await storage.exists(target)
        await storage.complete_multipart_upload(target, upload_id, parts)
        assert await storage.read(target) == b"".join(data)

    @requires("presign_post")
    async def test_form(self, storage: Storage) -> None:
        """
        A form that is sent as by a browser writes the object, with the content type of the form.
        """
        target = storage.root / "a b/é.bin"
        form = await storage.presign_post(target, content_type="application/x-asyncstore", min_size=1, max_size=4)

        assert await _post(self, form, b"data") < 300
        info = await storage.stat(target)
        assert (info.size, info.content_type) == (4, "application/x-asyncstore")
        assert timedelta(minutes=50) < form.expires_at - datetime.now(UTC) < timedelta(minutes=70)
        assert form.fields["policy"] not in repr(form)

    @requires("presign_post")
    @tagged("signatures")
    async def test_form_refuses_what_differs(self, storage: Storage) -> None:
        """
        Another key, content type, size or policy is refused.
        """
        target = storage.root / "key"
        form = await storage.presign_post(target, content_type="text/plain", min_size=2, max_size=4)
        other = await storage.presign_post(storage.root / "other")

        assert await _post(self, form, b"1") in _REFUSED
        assert await _post(self, form, b"12345") in _REFUSED
        assert await _post(self, form, b"data", fields={"key": other.fields["key"]}) in _REFUSED
        assert await _post(self, form, b"data", fields={"Content-Type": "text/html"}) in _REFUSED
        assert await _post(self, form, b"data", fields={"policy": other.fields["policy"]}) in _REFUSED
        assert [info async for info in storage.list()] == []

    @requires("presign_post")
    @tagged("signatures")
    async def test_form_for_a_prefix(self, storage: Storage) -> None:
        """
        A form for a prefix writes below it, by default under the name of the file, and nowhere else.
        """
        form = await storage.presign_post(storage.root / "inbox/", prefix=True)

        key = form.fields["key"]

        assert await _post(self, form, b"one", name="a.txt") < 300
        assert await _post(self, form, b"two", fields={"key": key.replace("${filename}", "b/c")}) < 300
        assert await _post(self, form, b"no", fields={"key": key.replace("inbox/${filename}", "inbo")}) in _REFUSED
        assert await keys_of(storage) == ["inbox/a.txt", "inbox/b/c"]

    @requires("presign_post")
    async def test_form_that_means_another_key(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A key with the text that stands for the name of the file is refused.
        """
        with pytest.raises(InvalidRequestError, match="name of the file"):
            await faulty.presign_post(faulty.root / "${filename}")
        with pytest.raises(ConfigurationError, match="positive"):
            await faulty.presign_post(faulty.root / "key", expires=timedelta(0))
        assert not faults.calls

    @requires("sign")
    @pytest.mark.parametrize("name", BOUND)
    async def test_option_that_is_not_announced(self, faulty: Storage, faults: FaultyDriver, name: str) -> None:
        """
        An option that the provider cannot bind is refused by its name, before any request.
        """
        if name in faulty.capabilities.presign_options:
            pytest.skip(f"{faulty.provider} binds {name}")
        method = next(method for method, names in PRESIGN_FIELDS.items() if name in names)

        with pytest.raises(NotSupportedError, match=name):
            await faulty.presign(faulty.root / "key", method=method, options=PresignOptions(**BOUND[name]))
        assert not faults.calls

    @requires("sign")
    async def test_option_of_another_method(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An option that the method has no use for is refused, before any request.
        """
        with pytest.raises(InvalidRequestError, match="content_type is for URLs to PUT, not to GET"):
            await faulty.presign(faulty.root / "key", content_type="text/plain")
        assert not faults.calls


async def _post(
    test: Harness,
    form: PresignedPost,
    data: bytes,
    *,
    name: str = "file.bin",
    fields: Mapping[str, str] | None = None,
) -> int:
    """
    Return the status of a form that is sent as by a browser, with *fields* instead of its own.
    """
    sent = aiohttp.FormData()
    for field, value in {**form.fields, **(fields or {})}.items():
        sent.add_field(field, value)
    sent.add_field("file", data, filename=name, content_type="application/octet-stream")
    async with test.http_session() as session, session.post(form.url, data=sent, allow_redirects=False) as reply:
        return reply.status


async def _put(test: Harness, url: PresignedURL, data: bytes, headers: Mapping[str, str] | None = None) -> int:
    """
    Return the status of a PUT with the headers of *url*, of which those in *headers* are others.
    """
    sent = {**test.signed_put_headers, **url.headers, **(headers or {})}
    sending: dict[str, Any] = {"data": BytesIO(data), "headers": sent}
    async with test.http_session() as session, session.put(URL(url, encoded=True), **sending) as reply:
        return reply.status


def _binds(storage: Storage, name: str) -> None:
    if name not in storage.capabilities.presign_options:
        pytest.xfail(f"{storage.provider} does not announce {name} in presign_options")

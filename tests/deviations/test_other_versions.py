"""
Replies about another version than the one that was requested, or than the one before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from asyncstore import NotSupportedError, SourceChangedError, Storage
from asyncstore.options import MiB
from tests.deviations.good_replies import Asked, Content, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import Answer, Server, opened, serving

#: The header that names the version, and two versions of the provider's form.
VERSIONS: Final = {
    "s3": ("x-amz-version-id", "v1", "v2"),
    "gcs": ("x-goog-generation", "11", "22"),
    "azure": ("x-ms-version-id", "2026-01-01T00:00:00.0000000Z", "2026-01-02T00:00:00.0000000Z"),
    "oci": ("version-id", "v1", "v2"),
}
_EVERYWHERE = pytest.mark.parametrize("provider", VERSIONS)
_VERBS = pytest.mark.parametrize("verb", ["stat", "read", "download", "copy"])

_DATA: Final = Content(b"current bytes", "11")


def naming(provider: str, server: Server, version: str | None) -> Answer:
    """
    Answer every request with the object, and name *version* or none.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked, _DATA)
        said.headers.pop(VERSIONS[provider][0], None)
        if version is not None:
            said.headers[VERSIONS[provider][0]] = version
            if provider == "gcs" and said.body.startswith(b"{"):
                said.body = json.dumps({**json.loads(said.body), "generation": version}).encode()
        return said, Sending()

    return answer


async def use(storage: Storage, verb: str, version: str, path: Path) -> None:
    """
    Use one version of an object.
    """
    if verb == "copy":
        await storage.copy("k", "target", source_version_id=version)
    elif verb == "download":
        await storage.download("k", path / "file", version_id=version)
    else:
        await getattr(storage, verb)("k", version_id=version)


@_EVERYWHERE
@_VERBS
async def test_reply_about_another_version(provider: str, verb: str, tmp_path: Path) -> None:
    """
    It is an error, and nothing is read, copied or left behind.
    """
    _, asked, other = VERSIONS[provider]
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = naming(provider, server, other)
        with pytest.raises(SourceChangedError, match=f"the reply has version {other}, and {asked} was requested"):
            await use(storage, verb, asked, tmp_path)
        server.answer = naming(provider, server, asked)
        assert asked == (await storage.stat("k", version_id=asked)).version_id
        assert _DATA.data == await storage.read("k", version_id=asked)

    assert not list(tmp_path.iterdir())
    assert {"GET", "HEAD"} >= {request.method for request in server.asked}


@pytest.mark.parametrize("provider", ["s3", "azure", "oci"])
@_VERBS
async def test_reply_that_names_no_version(provider: str, verb: str, tmp_path: Path) -> None:
    """
    The endpoint ignores versions, and the error says so; a reply of the requested ETag is believed.
    """
    _, asked, _ = VERSIONS[provider]
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = naming(provider, server, None)
        with pytest.raises(NotSupportedError, match="ignores versions"):
            await use(storage, verb, asked, tmp_path)
        assert _DATA.data == await storage.read("k", version_id=asked, if_match=_DATA.etag)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("provider", "asked", "named"),
    [("s3", "null", None), ("s3", "null", "null"), ("azure", "snapshot:2026-01-01T00:00:00.0000000Z", None)],
)
async def test_versions_that_are_not_named(provider: str, asked: str, named: str | None) -> None:
    """
    S3 names no version "null" in a bucket that was never versioned, and Azure names no snapshot.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = naming(provider, server, named)
        assert _DATA.data == await storage.read("k", version_id=asked)


@pytest.mark.parametrize(("named", "able"), [("v2", True), (None, True), ("v2", False)])
@pytest.mark.parametrize("provider", ["s3", "azure", "oci"])
async def test_versions_of_an_object_without_an_etag(
    provider: str, named: str | None, able: bool, tmp_path: Path
) -> None:
    """
    Ranges of two versions are not joined, although their size and their date are the same.

    Args:
        named: How the version that follows the first is named.
        able: Whether requests can name a version.
    """
    header, first, _ = VERSIONS[provider]
    size = 24 * MiB
    ranges = 0

    def answer(asked: Asked) -> tuple[Said, Sending]:
        nonlocal ranges
        ranges += asked.method == "GET"
        data, version = (b"a" * size, first) if ranges < 2 else (b"b" * size, named)
        said = server.good(asked, Content(data, "11"))
        for name in ("ETag", "x-amz-checksum-crc32c", "opc-content-crc32c"):
            said.headers.pop(name, None)
        if version is not None:
            said.headers[header] = version
        return said, Sending()

    expected = SourceChangedError if named else NotSupportedError
    changes = {} if able else {"versions": False}
    buffer = bytearray(size)
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        storage._driver.narrow("versions", "for this test", **changes)
        with pytest.raises(expected):
            await storage.read_into("k", buffer, part_size=4 * MiB)
        ranges = 0
        with pytest.raises(expected):
            await storage.download("k", tmp_path / "file", part_size=4 * MiB)
        ranges = 0
        with pytest.raises(expected):
            async with storage.open("k", "rb", read_ahead=4 * MiB) as file:
                while await file.read(4 * MiB):
                    pass

    assert not list(tmp_path.iterdir())

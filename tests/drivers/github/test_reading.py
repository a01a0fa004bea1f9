"""
Assets are found by name, and downloaded from another host that never receives the token.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from asyncstore.drivers.github import links
from asyncstore.drivers.github.addresses import asset_place, upload_place
from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.http.origin import Origin
from asyncstore.options import ByteRange, DownloadOptions, MiB, ReadOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults_proxy import CutReply, FaultProxy
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from asyncstore.types import ChecksumAlgorithm
from tests.drivers.github.fixtures import REPOSITORY, ask, asset, calls, driver_of, opened, release, releases

DATA = payload(3 * MiB + 17)
PARTS = DownloadOptions(part_size=MiB // 2, max_concurrency=8)


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer() as server:
        await asset(server, await release(server, "v1"), "a.bin", DATA)
        server.requests.clear()
        yield server


async def test_token_goes_to_the_api_only(server: GitHubServer, tmp_path: Path) -> None:
    """Every API request has the token, and no request to the asset host has it."""
    async with opened(server) as storage:
        assert await storage.read(storage.root / "a.bin") == DATA
        await storage.download(storage.root / "a.bin", tmp_path / "file", options=PARTS)

    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {FAKE_TOKEN}"}
    assert server.assets.requests
    for request in server.assets.requests:
        assert "authorization" not in request.headers
        assert FAKE_TOKEN not in str(request.headers) + request.path


async def test_parallel_download_asks_the_api_twice(server: GitHubServer, tmp_path: Path) -> None:
    """One request finds the release and one the link; all parts use that link, so they are of one asset."""
    async with opened(server) as storage:
        info = await storage.download(storage.root / "a.bin", tmp_path / "file", options=PARTS)

    assert (tmp_path / "file").read_bytes() == DATA
    assert calls(server.requests) == ["GET v1", "GET ID"]
    assert len(server.assets.requests) == 7
    assert info.checksum is not None
    assert info.checksum.algorithm is ChecksumAlgorithm.SHA256


async def test_link_is_reused(server: GitHubServer) -> None:
    """Further reads look up the name, and reuse the cached link."""
    async with opened(server) as storage:
        for _ in range(3):
            assert await storage.read(storage.root / "a.bin") == DATA

    assert calls(server.requests) == ["GET v1", "GET ID", "GET v1", "GET v1"]


@pytest.mark.parametrize("how", ["refused", "known"])
async def test_link_that_expired(
    server: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """An expired link is replaced without an error, whether the host refuses it or its lifetime is over."""
    now = time.monotonic()
    async with opened(server) as storage:
        driver_of(storage)._links._clock = lambda: now
        await storage.read(storage.root / "a.bin")
        server.assets.expire_links()
        now += 0 if how == "refused" else links.LINK_LIFE + 1
        refused = len(server.assets.requests)

        await storage.download(storage.root / "a.bin", tmp_path / "file", options=PARTS)

    assert (tmp_path / "file").read_bytes() == DATA
    assert calls(server.requests) == ["GET v1", "GET ID", "GET v1", "GET ID"]
    assert len(server.assets.requests) - refused == (8 if how == "refused" else 7)


async def test_link_that_expires_between_parts(server: GitHubServer) -> None:
    """Concurrent ranges continue with a new link of the same asset, which is requested once."""
    async with opened(server) as storage:
        info = await storage.stat(storage.root / "a.bin")
        options = [ReadOptions(range=ByteRange(at, at + 1000), if_match=info.etag) for at in range(0, 8000, 1000)]
        await storage.read(storage.root / "a.bin", options=options[0])
        server.assets.expire_links()
        server.requests.clear()
        got: dict[int, bytes] = {}

        async def part(number: int) -> None:
            got[number] = await storage.read(storage.root / "a.bin", options=options[number])

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(part, number)

    assert b"".join(got[number] for number in range(8)) == DATA[:8000]
    assert calls(server.requests).count("GET ID") == 1


async def test_connection_that_breaks(server: GitHubServer, tmp_path: Path) -> None:
    """A broken download resumes where it stopped, with the same link."""
    async with FaultProxy("127.0.0.1", server.assets.port) as proxy:
        server.assets.link_port = proxy.port
        proxy.add(CutReply(MiB))
        async with opened(server, attempts=5) as storage:
            await storage.download(
                storage.root / "a.bin", tmp_path / "file", options=DownloadOptions(part_size=8 * MiB)
            )

    assert calls(server.requests) == ["GET v1", "GET ID"]
    assert (tmp_path / "file").read_bytes() == DATA


async def test_replaced_between_parts(server: GitHubServer) -> None:
    """A range of a replaced version fails; two versions are never mixed."""
    async with opened(server) as storage:
        info = await storage.stat(storage.root / "a.bin")
        await storage.put(storage.root / "a.bin", b"something else")

        with pytest.raises(PreconditionFailedError):
            await storage.read(storage.root / "a.bin", options=ReadOptions(range=ByteRange(0, 10), if_match=info.etag))


async def test_other_conditions_of_a_range(server: GitHubServer) -> None:
    """A range of a known version is looked up again if it has further conditions."""
    async with opened(server) as storage:
        info = await storage.stat(storage.root / "a.bin")
        part = ReadOptions(range=ByteRange(0, 10), if_match=info.etag)
        await storage.read(storage.root / "a.bin", options=part)

        with pytest.raises(NotModifiedError):
            await storage.read(storage.root / "a.bin", options=replace(part, if_none_match=info.etag))


async def test_deleted_by_another_client(server: GitHubServer) -> None:
    """If the asset behind a cached link was deleted, the name is looked up again."""
    async with opened(server) as storage:
        info = await storage.stat(storage.root / "a.bin")
        pinned = ReadOptions(range=ByteRange(0, 10), if_match=info.etag)
        await storage.read(storage.root / "a.bin", options=pinned)
        async with opened(server) as other:
            await other.delete(other.root / "a.bin")

        with pytest.raises(NotFoundError):
            await storage.read(storage.root / "a.bin", options=pinned)


async def test_fresh_link_that_is_refused(server: GitHubServer) -> None:
    """A new link that the host refuses is an error that can be retried."""
    server.assets.link_ttl = -1.0
    async with opened(server) as storage:
        with pytest.raises(UnavailableError, match="refused the link"):
            await storage.read(storage.root / "a.bin")

    assert len(server.assets.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(500, UnavailableError), (503, ThrottledError), (429, ThrottledError), (418, UnavailableError)]
)
async def test_errors_of_the_asset_host(server: GitHubServer, status: int, kind: type[UnavailableError]) -> None:
    """Errors of the asset host have their class, and do not contain the link."""
    server.assets.inject(Fault(status=status, headers={"Retry-After": "7"}))
    async with opened(server) as storage:
        with pytest.raises(kind) as failure:
            await storage.read(storage.root / "a.bin")

        assert await storage.read(storage.root / "a.bin") == DATA
    assert type(failure.value) is kind
    assert (failure.value.status, failure.value.retry_after) == (status, 7.0)
    assert "sig" not in str(failure.value)


async def test_redirect_of_the_asset_host(server: GitHubServer) -> None:
    """Redirects of the asset host are followed, without the token and only a few times."""
    async with opened(server) as storage:
        await storage.stat(storage.root / "a.bin")
        found = releases(server)[0].assets.values()
        location = server.assets.link(next(iter(found)))
        server.assets.inject(Fault(status=302, headers={"Location": location}, times=1))
        assert await storage.read(storage.root / "a.bin") == DATA

        server.assets.inject(Fault(status=302, headers={"Location": location}, times=None))
        with pytest.raises(UnavailableError):
            await storage.read(storage.root / "a.bin")
    assert all("authorization" not in request.headers for request in server.assets.requests)


async def test_api_that_sends_the_bytes_itself(server: GitHubServer) -> None:
    """ "API clients should handle both a 200 or 302 response." """
    server.inject(
        Fault(status=200, body=DATA, path="/releases/assets/", times=2, headers={"Content-Type": "text/plain"})
    )
    async with opened(server) as storage:
        assert await storage.read(storage.root / "a.bin") == DATA
        part = ReadOptions(range=ByteRange(1000, 1010))
        assert await storage.read(storage.root / "a.bin", options=part) == DATA[1000:1010]

    assert server.assets.requests == []
    assert server.requests[-1].headers["range"] == "bytes=1000-1009"


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (206, {"Content-Range": "bytes 0-9/10"}, b"0123456789"),
        (206, {}, b"0123456789"),
        (200, {}, b"short"),
        (204, {}, b""),
    ],
)
async def test_other_bytes_than_the_asset(
    server: GitHubServer, status: int, headers: dict[str, str], body: bytes
) -> None:
    """A reply with other bytes than requested is refused."""
    server.assets.inject(Fault(status=status, headers=headers, body=body))
    async with opened(server) as storage:
        with pytest.raises(UnavailableError):
            await storage.read(storage.root / "a.bin", options=ReadOptions(range=ByteRange(5, 15)))


@pytest.mark.parametrize("way", ["read", "get", "download"])
async def test_digest(server: GitHubServer, tmp_path: Path, way: str) -> None:
    """Whole reads are compared with the digest; ranges cannot be."""
    server.assets.inject(Fault(status=200, body=DATA[:-1] + b"?", times=None))
    async with opened(server) as storage:
        target = storage.root / "a.bin"
        with pytest.raises(IntegrityError):
            if way == "read":
                await storage.read(target)
            elif way == "download":
                await storage.download(target, tmp_path / "file")
            else:
                async with storage.get(target) as stream:
                    await stream.read()
        assert await storage.read(target, options=ReadOptions(range=ByteRange(-2))) == DATA[-2:-1] + b"?"
    assert list(tmp_path.iterdir()) == []


async def test_asset_without_a_digest(server: GitHubServer, tmp_path: Path) -> None:
    """Old assets without a digest are read like any other."""
    page = await _answered(server, f"/repos/{REPOSITORY}/releases/tags/v1")
    server.inject(Fault(status=200, body=page.replace(b'"sha256:', b'"none:'), path="/tags/v1", times=None))
    async with opened(server) as storage:
        assert (await storage.stat(storage.root / "a.bin")).checksum is None
        await storage.download(storage.root / "a.bin", tmp_path / "file", options=PARTS)
    assert (tmp_path / "file").read_bytes() == DATA


async def test_conditions(server: GitHubServer) -> None:
    """An asset's id is its ETag, since the bytes of an asset never change."""
    async with opened(server) as storage:
        info = await storage.stat(storage.root / "a.bin")
        with pytest.raises(NotModifiedError):
            await storage.read(storage.root / "a.bin", options=ReadOptions(if_none_match=info.etag))
        with pytest.raises(PreconditionFailedError):
            await storage.read(storage.root / "a.bin", options=ReadOptions(if_match="1"))
        with pytest.raises(RangeNotSatisfiableError):
            await storage.read(storage.root / "a.bin", options=ReadOptions(range=ByteRange(len(DATA))))

    assert server.assets.requests == []


async def test_latest(server: GitHubServer) -> None:
    """``latest`` is the release that GitHub marks as latest, whatever its tag."""
    await asset(server, await release(server, "v2"), "a.bin", b"newer")
    await asset(server, await release(server, "v3", prerelease=True), "a.bin", b"not yet")
    async with opened(server, f"github://{REPOSITORY}/releases/latest/") as storage:
        assert await storage.read(storage.root / "a.bin") == b"newer"
        assert [info.key async for info in storage.list()] == ["latest/a.bin"]


async def test_latest_as_a_tag(server: GitHubServer) -> None:
    """A setting makes ``latest`` an ordinary tag."""
    await asset(server, await release(server, "latest", make_latest="false"), "a.bin", b"by tag")
    root = f"github://{REPOSITORY}/releases/latest/"
    async with opened(server, root, latest_is_tag=True) as by_tag, opened(server, root) as by_name:
        assert await by_tag.read(by_tag.root / "a.bin") == b"by tag"
        assert await by_name.read(by_name.root / "a.bin") == DATA


async def test_unfinished_asset_is_not_an_object(server: GitHubServer) -> None:
    """An asset whose upload is not complete is neither found nor listed."""
    next(iter(releases(server)[0].assets.values())).state = "starter"
    async with opened(server) as storage:
        assert not await storage.exists(storage.root / "a.bin")
        assert [info.key async for info in storage.list()] == []


async def test_private_repository() -> None:
    """A private repository is not found without a token, and read like any other with one."""
    async with GitHubServer(repositories=[]) as server:
        server.add_repository(REPOSITORY, private=True)
        await asset(server, await release(server, "v1"), "a.bin", b"secret")
        async with opened(server) as storage, opened(server, token=None, anonymous=True) as other:
            assert await storage.read(storage.root / "a.bin") == b"secret"
            with pytest.raises(NotFoundError):
                await other.read(other.root / "a.bin")


async def test_no_native_client(server: GitHubServer) -> None:
    """GitHub has no asyncio client; the error suggests http_client."""
    async with opened(server) as storage:
        with pytest.raises(NotSupportedError, match="http_client"):
            storage.native()


@pytest.mark.parametrize(
    ("api", "template", "trusted"),
    [
        ("https://api.github.com", "https://uploads.github.com/repos/o/r/releases/1/assets{?name,label}", True),
        ("https://api.o.ghe.com", "https://uploads.o.ghe.com/repos/o/r/releases/1/assets{?name,label}", True),
        (
            "https://git.example/api/v3",
            "https://git.example/api/uploads/repos/o/r/releases/1/assets{?name,label}",
            True,
        ),
        ("https://api.github.com", "https://uploads.github.com.evil.example/x", False),
        ("https://api.github.com", "https://evil.example/uploads.github.com", False),
        ("https://api.github.com", "http://uploads.github.com/x", False),
        ("https://api.github.com", "https://user@evil.example:443/x", False),
        ("https://git.example/api/v3", "https://git.example:8443/x", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2/x", False),
        ("https://api.github.com", "not a url", False),
    ],
)
def test_upload_hosts(api: str, template: str, trusted: bool) -> None:
    """The token is sent only to GitHub's own upload host."""
    if trusted:
        origin, path = upload_place(Origin.parse(api), template)
        assert template.startswith(origin.base)
        assert path.endswith("/assets")
    else:
        with pytest.raises(UnavailableError):
            upload_place(Origin.parse(api), template)


def test_asset_hosts() -> None:
    """Assets may come from any host, since it gets no token, but not over HTTP if the API uses HTTPS."""
    api = Origin.parse("https://api.github.com")

    origin, path, query = asset_place(api, "https://objects.example/a%2Fb?sig=x%2By&se=1")

    assert (origin.base, path, query) == ("https://objects.example", "/a%2Fb", "sig=x%2By&se=1")
    with pytest.raises(UnavailableError):
        asset_place(api, "http://objects.example/a")


async def _answered(server: GitHubServer, path: str) -> bytes:
    return json.dumps(await ask(server, "GET", path), separators=(",", ":")).encode()

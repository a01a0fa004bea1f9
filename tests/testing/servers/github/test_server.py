"""
The stand-in for GitHub, tested with an unmodified third-party client.
"""

from __future__ import annotations

import hashlib
import socket
from asyncio import open_connection, sleep
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from github import Github, GithubException, UnknownObjectException

from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from asyncstore.testing.servers.github.names import stored_name
from tests.servers.github import REPOSITORY, download, make, send, with_sdk


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Resolve names below localhost, as many machines do: PyGithub tells origins apart by name.
    """
    resolve = socket.getaddrinfo

    def local(host: Any, *rest: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", local)


@pytest.fixture
async def server(resolved: None) -> AsyncIterator[GitHubServer]:
    async with GitHubServer(host="localhost", asset_host="assets.localhost") as server:
        yield server


async def test_release_and_asset(server: GitHubServer) -> None:
    """A release is created; its asset is uploaded, read through the redirect, and deleted."""

    def work(client: Github) -> None:
        asset = send(make(client), "a.txt", b"hello")

        found = client.get_repo(REPOSITORY).get_release("v1")
        listed = list(found.get_assets())
        assert [item.name for item in listed] == ["a.txt"]
        assert (asset.size, asset.state) == (5, "uploaded")
        assert asset.digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
        assert download(listed[0]) == b"hello"
        assert asset.delete_asset()
        found.delete_release()
        with pytest.raises(UnknownObjectException):
            client.get_repo(REPOSITORY).get_release("v1")

    await with_sdk(server, work)


async def test_large_asset_on_disk(resolved: None, tmp_path: Path) -> None:
    """Assets can be stored in files, and are read back unchanged."""
    data = bytes(range(256)) * 4096 * 5
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "kept").mkdir()

    def work(client: Github) -> None:
        asset = make(client).upload_asset(str(tmp_path / "source"), name="large.bin")
        assert download(asset) == data
        assert asset.digest == "sha256:" + hashlib.sha256(data).hexdigest()

    async with GitHubServer(host="localhost", asset_host="assets.localhost", folder=tmp_path / "kept") as server:
        await with_sdk(server, work)


async def test_name_in_use(server: GitHubServer) -> None:
    """A second asset or release with the same name is refused with GitHub's error code."""

    def work(client: Github) -> None:
        release = make(client)
        send(release, "a.txt", b"one")
        for again in (lambda: send(release, "a.txt", b"two"), lambda: make(client)):
            with pytest.raises(GithubException) as failure:
                again()
            assert failure.value.status == 422
            assert failure.value.data["errors"][0]["code"] == "already_exists"

    await with_sdk(server, work)


async def test_renaming(server: GitHubServer) -> None:
    """An asset can be renamed, unless the name is taken."""

    def work(client: Github) -> None:
        release = make(client)
        asset = send(release, "a.txt", b"one")
        send(release, "b.txt", b"two")

        assert asset.update_asset("c.txt", "See").name == "c.txt"
        assert {item.name: item.label for item in release.get_assets()} == {"c.txt": "See", "b.txt": ""}
        with pytest.raises(GithubException):
            asset.update_asset("b.txt")

    await with_sdk(server, work)


async def test_pages(server: GitHubServer) -> None:
    """Releases and assets are listed in pages, newest release first."""

    def work(client: Github) -> None:
        for number in range(35):
            release = make(client, f"v{number}")
        for number in range(65):
            send(release, f"{number}.bin", b"data")

        assert [item.tag_name for item in client.get_repo(REPOSITORY).get_releases()] == [
            f"v{number}" for number in reversed(range(35))
        ]
        assert len(list(release.get_assets())) == 65

    await with_sdk(server, work)


async def test_latest(server: GitHubServer) -> None:
    """The latest release is not a draft, a prerelease, or one with ``make_latest=false``."""

    def work(client: Github) -> None:
        make(client, "v1")
        make(client, "v2", prerelease=True)
        make(client, "v3", draft=True)
        make(client, "v0", make_latest="false")

        assert client.get_repo(REPOSITORY).get_latest_release().tag_name == "v1"

    await with_sdk(server, work)


async def test_draft_is_published(server: GitHubServer) -> None:
    """Until it is published, a draft is found by id and in the list, but not by tag."""

    def work(client: Github) -> None:
        repository = client.get_repo(REPOSITORY)
        draft = make(client, "v1", draft=True)
        with pytest.raises(UnknownObjectException):
            repository.get_release("v1")
        assert [item.draft for item in repository.get_releases()] == [True]

        draft.update_release("v1", "", draft=False)

        assert repository.get_release("v1").draft is False

    await with_sdk(server, work)
    assert await with_sdk(server, lambda client: list(client.get_repo(REPOSITORY).get_releases()), None)


@pytest.mark.parametrize(
    ("tag", "reason"), [("a b", "well-formed"), ("v1/x", "conflict"), ("x..y", "well-formed"), ("a/", "well-formed")]
)
async def test_tags_that_git_refuses(server: GitHubServer, tag: str, reason: str) -> None:
    """A tag must be a valid git reference, and must not conflict with another tag."""

    def work(client: Github) -> None:
        make(client, "v1")
        with pytest.raises(GithubException, match=reason) as failure:
            make(client, tag)
        assert failure.value.status == 422

    await with_sdk(server, work)


@pytest.mark.parametrize("token", ["wrong", None])
async def test_private_repository(server: GitHubServer, token: str | None) -> None:
    """A wrong token is refused; without a token, a private repository does not exist."""
    server.add_repository("octocat/secret", private=True)

    with pytest.raises(GithubException) as failure:
        await with_sdk(server, lambda client: client.get_repo("octocat/secret"), token)

    assert failure.value.status == (401 if token else 404)


async def test_writing_needs_a_token(server: GitHubServer) -> None:
    """Anyone can read a public repository; only its writers can write."""
    await with_sdk(server, make)

    assert await with_sdk(server, lambda client: client.get_repo(REPOSITORY).get_release("v1").tag_name, None) == "v1"
    with pytest.raises(GithubException) as failure:
        await with_sdk(server, lambda client: make(client, "v2"), None)
    assert failure.value.status == 401


async def test_rate_limit(server: GitHubServer) -> None:
    """Beyond the hourly limit, requests are refused with the time when the limit resets."""
    server.limits.authenticated = 2

    def work(client: Github) -> None:
        repository = client.get_repo(REPOSITORY)
        assert client.rate_limiting == (1, 2)
        list(repository.get_releases())
        with pytest.raises(GithubException) as failure:
            client.get_repo(REPOSITORY)
        assert type(failure.value).__name__ == "RateLimitExceededException"
        assert (failure.value.headers or {})["x-ratelimit-remaining"] == "0"

    await with_sdk(server, work)


async def test_secondary_rate_limit() -> None:
    """Too many writes in a minute are refused with the time to wait."""

    async with GitHubServer(write_limit=1) as server, aiohttp.ClientSession(server.url) as session:
        headers = {"Authorization": f"Bearer {FAKE_TOKEN}"}
        where = f"/repos/{REPOSITORY}/releases"
        async with session.post(where, json={"tag_name": "v1"}, headers=headers) as first:
            assert first.status == 201
        async with session.post(where, json={"tag_name": "v2"}, headers=headers) as second:
            assert second.status == 403
            assert 0 < int(second.headers["retry-after"]) <= 60
            assert "secondary rate limit" in (await second.json())["message"]


async def test_enterprise_path(resolved: None) -> None:
    """An Enterprise server has its API under a path, and uploads beside it."""
    async with GitHubServer(host="localhost", asset_host="assets.localhost", base_path="/api/v3") as server:
        assert await with_sdk(server, lambda client: download(send(make(client), "a.txt", b"hello"))) == b"hello"
        assert {item.path.split("/")[1] for item in server.requests} == {"api"}


async def link_of(server: GitHubServer, session: aiohttp.ClientSession) -> str:
    await with_sdk(server, lambda client: send(make(client), "a.txt", b"0123456789"))
    release = next(iter(server.repository(REPOSITORY).releases.values()))
    url = f"{server.url}/repos/{REPOSITORY}/releases/assets/{next(iter(release.assets))}"
    headers = {"Accept": "application/octet-stream"}
    async with session.get(url, headers=headers, allow_redirects=False) as reply:
        assert reply.status == 302
        return reply.headers["Location"]


async def test_asset_host(server: GitHubServer) -> None:
    """The asset host serves ranges through a link, and refuses requests that also send a token."""
    async with aiohttp.ClientSession() as session:
        link = await link_of(server, session)

        async with session.get(link, headers={"Range": "bytes=2-4"}) as part:
            assert (part.status, part.headers["Content-Range"]) == (206, "bytes 2-4/10")
            assert await part.read() == b"234"
        async with session.get(link, headers={"Range": "bytes=-3"}) as tail:
            assert await tail.read() == b"789"
        async with session.get(link, headers={"Range": "bytes=10-"}) as beyond:
            assert beyond.status == 416
        async with session.get(link, headers={"Authorization": f"Bearer {FAKE_TOKEN}"}) as shown:
            assert shown.status == 400


async def test_link_expires(server: GitHubServer) -> None:
    """A link expires, and cannot be modified."""
    async with aiohttp.ClientSession() as session:
        link = await link_of(server, session)
        async with session.get(link.replace("se=1", "se=2")) as forged:
            assert forged.status == 403
        server.assets.expire_links()
        async with session.get(link) as expired:
            assert expired.status == 403
        server.assets.link_ttl = -1.0
        async with session.get(f"{server.url}/{REPOSITORY}/releases/download/v1/a.txt") as late:
            assert late.status == 403


async def test_broken_upload_leaves_a_starter(server: GitHubServer) -> None:
    """An interrupted upload leaves a starter asset that blocks the name until it is deleted."""
    release = await with_sdk(server, make)
    target = f"/api/uploads/repos/{REPOSITORY}/releases/{release.id}/assets?name=a.txt"
    _, writer = await open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST {target} HTTP/1.1\r\nHost: x\r\nUser-Agent: x\r\nAuthorization: Bearer {FAKE_TOKEN}\r\n"
        "Content-Length: 10\r\n\r\nhalf".encode()
    )
    await writer.drain()
    while not server.repository(REPOSITORY).releases[release.id].assets:
        await sleep(0.005)
    writer.transport.abort()

    def work(client: Github) -> None:
        found = client.get_repo(REPOSITORY).get_release("v1")
        (asset,) = found.get_assets()
        assert (asset.state, asset.size, asset.digest) == ("starter", 0, None)
        with pytest.raises(GithubException):
            send(found, "a.txt", b"data")
        asset.delete_asset()
        send(found, "a.txt", b"data")

    await with_sdk(server, work)


async def test_empty_asset_is_refused(server: GitHubServer) -> None:
    """GitHub refuses empty assets."""
    release = await with_sdk(server, make)
    where = f"{server.url}/api/uploads/repos/{REPOSITORY}/releases/{release.id}/assets?name=a.txt"

    headers = {"Authorization": f"Bearer {FAKE_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(where, data=b"") as refused:
        assert refused.status == 422
        assert "greater than or equal to 1" in (await refused.json())["errors"][0]["message"]


async def test_requests_of_the_command_line() -> None:
    """``gh`` sends a HEAD for a release, and a GraphQL query for drafts."""
    headers = {"Authorization": f"Bearer {FAKE_TOKEN}"}
    async with GitHubServer(base_path="/api/v3") as server, aiohttp.ClientSession(headers=headers) as session:
        where = f"{server.api_url}/repos/{REPOSITORY}/releases"
        async with session.head(f"{where}/tags/v1") as missing:
            assert missing.status == 404
        async with session.post(where, json={"tag_name": "v1"}) as made:
            assert made.status == 201
        async with session.head(f"{where}/tags/v1") as found:
            assert found.status == 200
        for query, answer in (("release(tagName: $t)", "data"), ("viewer { login }", "errors")):
            async with session.post(f"{server.url}/api/graphql", json={"query": query}) as reply:
                assert list(await reply.json()) == [answer]
        async with session.post(f"{server.url}/api/graphql", json={}, headers={"Authorization": "x y"}) as refused:
            assert refused.status == 401


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a-b_c.d+e@f.txt", "a-b_c.d+e@f.txt"),
        ("My App 1.0 Setup.exe", "My.App.1.0.Setup.exe"),
        ("app-(15-5)-x.apk", "app-.15-5.-x.apk"),
        ("1.1.0-1~buster.deb", "1.1.0-1.buster.deb"),
        (".config", "default.config"),
        ("fake.      file.txt", "fake.file.txt"),
        ("café.txt", "cafe.txt"),
    ],
)
def test_names(name: str, stored: str) -> None:
    """Asset names are changed as users have seen GitHub change them."""
    assert stored_name(name) == stored


async def test_renamed_repository(server: GitHubServer) -> None:
    """PyGithub finds a repository by its old name; a write to the old name is answered with 307."""

    def work(client: Github) -> None:
        send(make(client), "a.txt", b"one")
        server.rename_repository(REPOSITORY, "octocat/goodbye")
        assert client.get_repo(REPOSITORY).full_name == "octocat/goodbye"
        assert client.get_repo(server.repository("octocat/goodbye").id).get_release("v1").tag_name == "v1"

    await with_sdk(server, work)
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {FAKE_TOKEN}"}) as session,
        session.post(f"{server.api_url}/repos/{REPOSITORY}/releases", json={}, allow_redirects=False) as reply,
    ):
        assert reply.status == 307
        assert reply.headers["Location"].endswith("/releases")


@pytest.mark.parametrize(
    ("method", "path", "document", "named"),
    [
        ("GET", "/releases?per_page=5&sort=asc", None, "sort"),
        ("GET", "/releases/tags/v1?page=1", None, "page"),
        ("POST", "/releases", {"tag_name": "v2", "generate_release_notes": True}, "generate_release_notes"),
        ("POST", "/releases", {"tag_name": "v2", "discussion_category_name": "News"}, "discussion_category_name"),
        ("POST", "/releases", {"tag_name": "v2", "make_latest": "legacy"}, "make_latest"),
    ],
)
async def test_what_is_not_known_is_refused(
    server: GitHubServer, method: str, path: str, document: dict[str, Any] | None, named: str
) -> None:
    """Parameters and fields that the server does not know are refused by name, not ignored."""
    headers = {"Authorization": f"Bearer {FAKE_TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{server.api_url}/repos/{REPOSITORY}{path}", json=document) as reply,
    ):
        assert (reply.status, named in (await reply.json())["message"]) == (501, True)
    assert server.repository(REPOSITORY).releases == {}

"""
The file service of docs/examples, over HTTP.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from anyio import to_thread
from yarl import URL

from asyncstore import Storage, open_storage
from asyncstore.errors import InvalidURIError
from tests.examples.file_service import EXAMPLE, load
from tests.integrations.web import client, on_uvicorn
from tests.servers.process import Launch, free_ports, start

LARGEST = 1000


@pytest.fixture(scope="module")
def service() -> Iterator[ModuleType]:
    with load() as module:
        yield module


def unsigned() -> AbstractAsyncContextManager[Storage]:
    return open_storage("memory://plain", sign=False)


@pytest.fixture
async def url(service: ModuleType, tmp_path: Path) -> AsyncIterator[str]:
    """The service on memory, memory that does not sign, and a folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "files").mkdir()
    sources = {"memory": "memory://bucket/root", "plain": unsigned, "file": (tmp_path / "files").as_uri()}
    async with on_uvicorn(service.create_app(sources, max_size=LARGEST)) as url:
        yield url


@pytest.fixture
async def http(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with client() as session:
        yield session


async def put(http: aiohttp.ClientSession, url: str, body: bytes = b"data", **options: Any) -> tuple[int, Any]:
    async with http.put(URL(url, encoded=True), data=body, **options) as reply:
        return reply.status, await reply.json()


async def get(http: aiohttp.ClientSession, url: str, **options: Any) -> tuple[int, Any]:
    async with http.get(URL(url, encoded=True), **options) as reply:
        return reply.status, await reply.json()


async def copied(http: aiohttp.ClientSession, url: str, source: str, target: str, **more: Any) -> tuple[str, Any]:
    """
    Copy from one STORAGE/KEY to another, and return the last event.
    """
    ends = {"source": source.partition("/"), "target": target.partition("/")}
    places = {end: {"storage": storage, "key": key} for end, (storage, _, key) in ends.items()}
    async with http.post(f"{url}/copies", json={**places, **more}) as reply:
        text = await reply.text()
    if not reply.ok:
        return str(reply.status), json.loads(text)
    last = text.removesuffix("\n\n").rpartition("\n\n")[2]
    name, _, data = last.removeprefix("event: ").partition("\ndata: ")
    return name, json.loads(data)


async def test_storages_are_listed(url: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    _, listed = await get(http, f"{url}/storages")
    assert listed == {
        "storages": [
            {"name": "memory", "uri": "memory://bucket/root", "signs": True},
            {"name": "plain", "uri": "memory://plain", "signs": False},
            {"name": "file", "uri": f"file://{tmp_path}/files", "signs": False},
        ],
        "max_size": LARGEST,
    }


@pytest.mark.parametrize("storage", ["memory", "plain", "file"])
async def test_upload_browse_and_download(url: str, http: aiohttp.ClientSession, storage: str) -> None:
    for key in ("a.txt", "folder/b%20%25%3F%23.txt", "folder/deeper/c.txt"):
        assert (201, {"size": 4}) == await put(http, f"{url}/files/{storage}/{key}")

    _, top = await get(http, f"{url}/folders/{storage}/")
    _, folder = await get(http, f"{url}/folders/{storage}/folder/")
    async with http.get(URL(f"{url}/files/{storage}/folder/b%20%25%3F%23.txt", encoded=True)) as reply:
        body = await reply.read()

    assert (["folder/"], ["a.txt"], None) == (top["folders"], [file["key"] for file in top["files"]], top["more"])
    (file,) = folder["files"]
    assert folder["folders"] == ["folder/deeper/"]
    assert (file["key"], file["size"]) == ("folder/b %?#.txt", 4)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", file["modified"])
    assert body == b"data"
    assert reply.headers["Content-Disposition"].startswith("attachment")


async def test_folders_are_listed_by_pages(
    service: ModuleType, url: str, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_PAGE", 2)
    for name in "abc":
        await put(http, f"{url}/files/memory/{name}")

    _, first = await get(http, f"{url}/folders/memory/")
    _, second = await get(http, f"{url}/folders/memory/", params={"token": first["more"]})

    assert [["a", "b"], ["c"]] == [[file["key"] for file in page["files"]] for page in (first, second)]
    assert second["more"] is None


async def test_nothing_is_replaced_unasked(url: str, http: aiohttp.ClientSession) -> None:
    await put(http, f"{url}/files/memory/a", b"first")
    await put(http, f"{url}/files/plain/a", b"copied")

    status, problem = await put(http, f"{url}/files/memory/a", b"second")
    copying, copy_problem = await copied(http, url, "plain/a", "memory/a")

    assert (409, "The object already exists.") == (status, problem["detail"])
    assert ("409", "The object already exists.") == (copying, copy_problem["detail"])
    assert (201, {"size": 6}) == await put(http, f"{url}/files/memory/a?replace=true", b"second")
    name, result = await copied(http, url, "plain/a", "memory/a", replace=True)
    assert ("done", "a", 6) == (name, result["name"], result["size"])


async def test_uploads_are_limited(url: str, http: aiohttp.ClientSession) -> None:
    """
    Whether they say how long they are or not.
    """

    async def stream() -> AsyncIterator[bytes]:
        yield bytes(LARGEST)
        yield b"x"

    said, _ = await put(http, f"{url}/files/memory/a", bytes(LARGEST + 1))
    async with http.put(f"{url}/files/memory/b", data=stream()) as reply:
        assert (413, 413) == (said, reply.status)
    _, top = await get(http, f"{url}/folders/memory/")
    assert top["files"] == []


async def test_a_link_leads_to_the_provider(url: str, http: aiohttp.ClientSession) -> None:
    """
    Or to the file, where the provider signs no links.
    """
    for storage, status in (("memory", 307), ("plain", 200), ("file", 200)):
        await put(http, f"{url}/files/{storage}/a.txt")
        async with http.get(f"{url}/share/{storage}/a.txt", allow_redirects=False) as reply:
            assert reply.status == status
        async with http.get(f"{url}/share/{storage}/a.txt") as reply:
            assert await reply.read() == b"data"
        async with http.head(f"{url}/share/{storage}/a.txt", allow_redirects=True) as reply:
            assert reply.headers["Content-Length"] == "4"


async def test_copy_to_another_provider(url: str, http: aiohttp.ClientSession) -> None:
    await put(http, f"{url}/files/memory/a.txt")

    assert ("done", 4) == ((event := await copied(http, url, "memory/a.txt", "file/b/c.txt"))[0], event[1]["size"])
    assert ("error", 404) == ((event := await copied(http, url, "memory/none", "file/none"))[0], event[1]["status"])
    async with http.get(f"{url}/files/file/b/c.txt") as reply:
        assert await reply.read() == b"data"


@pytest.mark.parametrize("key", ["../secret.txt", "%2e%2e/secret.txt", "a/..%2f..%2fsecret.txt", "./a", "a/", ""])
@pytest.mark.parametrize("storage", ["memory", "file"])
async def test_names_that_are_refused(url: str, http: aiohttp.ClientSession, storage: str, key: str) -> None:
    """
    Nothing above the root of a storage can be named.
    """
    status, problem = await put(http, f"{url}/files/{storage}/{key}")
    assert (400, "This is not a valid name of an object.") == (status, problem["detail"])
    assert 400 == (await get(http, f"{url}/files/{storage}/{key}"))[0]
    assert 400 == (await get(http, f"{url}/share/{storage}/{key}"))[0]


async def test_folders_above_the_root(url: str, http: aiohttp.ClientSession) -> None:
    assert 400 == (await get(http, f"{url}/folders/file/../"))[0]
    assert 400 == (await get(http, f"{url}/folders/memory/a/%2e%2e/"))[0]
    assert "400" == (await copied(http, url, "memory/a", "file/../stolen"))[0]
    assert "400" == (await copied(http, url, "file/../secret.txt", "memory/a"))[0]


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "%2fetc/passwd"])
async def test_only_the_files_of_the_page_are_served(url: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(URL(f"{url}/{path}", encoded=True)) as reply:
        assert reply.status == 404


async def test_an_unknown_storage(url: str, http: aiohttp.ClientSession) -> None:
    assert (404, {"detail": "Unknown storage."}) == await get(http, f"{url}/folders/none/")
    assert ("404", {"detail": "Unknown storage."}) == await copied(http, url, "none/a", "memory/a")


async def test_other_sites_are_kept_out(url: str, http: aiohttp.ClientSession) -> None:
    """
    Their names are refused, and so is what their pages can send without asking the browser for permission.
    """
    async with http.get(f"{url}/storages", headers={"Host": "elsewhere.example"}) as reply:
        assert reply.status == 400
    place = {"storage": "memory", "key": "a"}
    body = json.dumps({"source": place, "target": {**place, "key": "b"}})
    async with http.post(f"{url}/copies", data=body, headers={"Content-Type": "text/plain"}) as reply:
        assert reply.status == 422
    async with http.options(
        f"{url}/files/memory/a",
        headers={"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "PUT"},
    ) as reply:
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_all_replies_forbid_foreign_scripts(url: str, http: aiohttp.ClientSession) -> None:
    """
    A page that was uploaded, with the media type and the disposition of a page, is saved and not shown.
    """
    await put(http, f"{url}/files/plain/evil.html", b"<script>", headers={"Content-Type": "text/html"})
    for path in ("", "page.js", "storages", "none", "files/plain/evil.html", "share/plain/evil.html"):
        async with http.get(f"{url}/{path}") as reply:
            assert "default-src 'none'; script-src 'self';" in reply.headers["Content-Security-Policy"]
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            if "evil" in path:
                assert reply.headers["Content-Disposition"].startswith("attachment")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """
    Its addresses are relative, too: a proxy may serve it below a path of its own.
    """
    for file in (EXAMPLE / "static").iterdir():
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//cdn|@import|innerHTML|(src|href)=\"/", text), file.name


def test_storages_are_named_by_their_providers(service: ModuleType) -> None:
    uris = ["memory://a", "s3://b", "memory://c", "s3://d/e", "file:///f"]
    assert service.named(uris) == dict(zip(["memory", "s3", "memory-2", "s3-2", "file"], uris, strict=True))
    with pytest.raises(InvalidURIError, match="does not begin with a scheme"):
        service.named(["reports"])


async def test_configured_by_the_environment(service: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILE_SERVICE_STORAGES", "memory://one memory://two")
    monkeypatch.setenv("FILE_SERVICE_MAX_SIZE", "10")
    monkeypatch.setenv("FILE_SERVICE_HOSTS", "files.example")
    async with on_uvicorn(service.create_app()) as url, client() as http:
        status, listed = await get(http, f"{url}/storages", headers={"Host": "files.example"})
        async with http.get(f"{url}/storages") as refused:
            assert (200, 400) == (status, refused.status)
    assert (["memory", "memory-2"], 10) == ([one["name"] for one in listed["storages"]], listed["max_size"])


@pytest.mark.parametrize(("uris", "message"), [((), "no storage: set"), (("reports",), "'reports' does not begin")])
def test_the_program_says_what_is_missing(
    service: ModuleType,
    uris: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", *uris])
    with pytest.raises(SystemExit, match="2"):
        service.main()
    assert message in capsys.readouterr().err


async def test_as_a_program(tmp_path: Path) -> None:
    """
    As the documentation starts it.
    """

    def plan(_folder: Path) -> Launch:
        (port,) = free_ports(1)
        uris = ("memory://demo", tmp_path.as_uri())
        return Launch(
            command=[sys.executable, str(EXAMPLE / "app.py"), *uris, "--port", str(port)],
            ready_url=f"http://127.0.0.1:{port}/storages",
            ports={"http": port},
            environment={"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    process = await to_thread.run_sync(start, "the file service", plan)
    try:
        url = f"http://127.0.0.1:{process.launch.ports['http']}"
        async with client() as http:
            assert (201, {"size": 4}) == await put(http, f"{url}/files/file/a.txt")
    finally:
        process.stop()
    assert (tmp_path / "a.txt").read_bytes() == b"data"

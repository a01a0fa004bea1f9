"""
The server: routes, and access to repositories.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote

from aiohttp import web
from yarl import URL

from asyncstore.testing.servers.github import assets, releases
from asyncstore.testing.servers.github.apps import App, Apps
from asyncstore.testing.servers.github.downloads import AssetHost
from asyncstore.testing.servers.github.limits import Caller, Limits, Tokens
from asyncstore.testing.servers.github.replies import Addresses, Refused, as_json, not_found, not_implemented, page_of
from asyncstore.testing.servers.github.store import Asset, Release, Repository, Store
from asyncstore.testing.servers.stand_in import StandIn

#: The valid token unless others are set. It is fake.
FAKE_TOKEN: Final = "fake-github-token"  # noqa: S105
LOGIN: Final = "octocat"

_REPO: Final = r"/repos/([^/]+)/([^/]+)"
# https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
_BY_ID: Final = re.compile(r"/repositories/(\d+)((?:/.*)?)")
_BY_NAME: Final = re.compile(r"/repos/([^/]+/[^/]+)((?:/.*)?)")
_INSTALLED: Final = re.compile(r"/(?P<kind>repos|orgs|users)/(?P<login>[^/]+)(?:/[^/]+)?/installation")
_APP_TOKENS: Final = re.compile(r"/app/installations/(?P<number>\d+)/access_tokens")


class GitHubServer(StandIn):
    """
    GitHub's API for releases, and the origin that serves their assets.

    PyGithub works with it. So does ``gh release``, over TLS and with ``base_path="/api/v3"``.

    Args:
        base_path: The API's path; ``"/api/v3"`` on Enterprise servers.
        tokens: Logins, by token. By default, only ``FAKE_TOKEN`` is valid.
        repositories: Names of public repositories to create, such as ``"octocat/hello"``.
        folder: Where to store assets; ``None`` keeps them in memory.
        link_ttl: Lifetime of a link to an asset, in seconds.
        host: The host name in URLs.
        asset_host: The host name of the second origin, for clients that tell origins apart by name.
        rate_limit: Requests per hour with a token.
        anonymous_rate_limit: Requests per hour without a token.
        write_limit: Writes per minute: the secondary limit.

    Attributes:
        assets: The second origin, with its own requests and faults.
        limits: The rate limits.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        base_path: str = "",
        tokens: Mapping[str, str] | None = None,
        repositories: Iterable[str] = (f"{LOGIN}/hello",),
        folder: Path | None = None,
        link_ttl: float = 300.0,
        host: str = "127.0.0.1",
        asset_host: str = "127.0.0.1",
        rate_limit: int = 5000,
        anonymous_rate_limit: int = 60,
        write_limit: int | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.assets = AssetHost(host=asset_host, link_ttl=link_ttl, tls=tls)
        self.limits = Limits(authenticated=rate_limit, anonymous=anonymous_rate_limit, writes=write_limit)
        self._host = host
        self._base = base_path.rstrip("/")
        self._apps = Apps()
        self._tokens = Tokens(dict(tokens or {FAKE_TOKEN: LOGIN}))
        self._store = Store(folder)
        for name in repositories:
            self.add_repository(name)

    async def __aenter__(self) -> Self:
        await self.assets.__aenter__()
        return await super().__aenter__()

    async def aclose(self) -> None:
        await super().aclose()
        await self.assets.aclose()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    def introduce(self, folder: Path | None) -> list[str]:
        """
        Return the valid tokens.
        """
        return list(self._tokens.logins)

    @property
    def api_url(self) -> str:
        """Base URL of the API, for clients."""
        return self.url + self._base

    def add_repository(self, name: str, *, private: bool = False, writers: Iterable[str] = ()) -> Repository:
        """
        Create a repository without releases. Its owner and *writers* can change it.
        """
        return self._store.add(name, private=private, writers=set(writers))

    def rename_repository(self, old: str, new: str) -> None:
        """
        Give a repository another owner and name, as ``owner/repo``.

        The API answers requests to the old name with a redirect: 301 to reads, 307 to writes.
        """
        self._store.rename(old, new)

    def add_app(self, app: App) -> App:
        """
        Allow an app to request tokens for its installations. The app can be changed at any time.

        It needs ``cryptography``.
        """
        self._apps.known.append(app)
        return app

    def revoke(self, token: str) -> None:
        """
        Stop accepting *token*.
        """
        self._tokens.logins.pop(token, None)

    def repository(self, name: str) -> Repository:
        """
        Return a repository, to inspect its contents.
        """
        return self._store.repositories[name.lower()]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request. The reply has a request id and the caller's rate limits.
        """
        headers = {"X-GitHub-Request-Id": f"{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:8]}".upper()}
        try:
            reply = await self._by_app(request)
            if reply is None:
                caller = self._tokens.caller(request)
                headers |= self.limits.count(caller, request.method)
                reply = await self._routed(request, caller)
        except Refused as refused:
            reply = refused.reply()
        for name, value in headers.items():
            reply.headers.setdefault(name, value)
        return reply

    async def _by_app(self, request: web.BaseRequest) -> web.Response | None:
        """
        Answer a request that only apps send; return ``None`` for any other request.
        """
        path = request.raw_path.partition("?")[0].removeprefix(self._base)
        if request.method == "GET" and (found := _INSTALLED.fullmatch(path)):
            kind, login = found["kind"], unquote(found["login"])
            organization = None if kind == "repos" else kind == "orgs"
            return self._apps.caller(request).installation_of(login, organization=organization)
        if request.method == "POST" and (found := _APP_TOKENS.fullmatch(path)):
            app = self._apps.caller(request)
            document = await _document(request) if request.can_read_body else {}
            await asyncio.sleep(app.delay)
            return app.token_of(int(found["number"]), document, self._tokens.add)
        return None

    async def _routed(self, request: web.BaseRequest, caller: Caller) -> web.Response:
        if not request.headers.get("User-Agent"):
            raise Refused(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent"
            )
        path, _, _ = request.raw_path.partition("?")
        if path.startswith(f"{self._base}/"):
            path = path.removeprefix(self._base)
        path = self._present(request, caller, path)
        # aiohttp omits the body from the reply to a HEAD.
        wanted = "GET" if request.method == "HEAD" else request.method
        for method, pattern, handler in _ROUTES:
            if wanted == method and (match := pattern.fullmatch(path)):
                _check_parameters(request, handler)
                return await handler(self, request, caller, *map(unquote, match.groups()))
        raise not_found()

    def _present(self, request: web.BaseRequest, caller: Caller, path: str) -> str:
        """
        Return *path* with the name of its repository instead of its id.

        Raises:
            Refused: A redirect from the name that a repository had before.
        """
        if match := _BY_ID.fullmatch(path):
            repository = self._store.by_id(int(match[1]))
            if repository is None:
                raise not_found()
            return f"/repos/{repository.full_name}{match[2]}"
        match = _BY_NAME.fullmatch(path)
        moved = self._store.renamed.get(unquote(match[1]).lower()) if match else None
        if match is None or moved is None or not caller.sees(moved):
            return path
        query = request.raw_path.partition("?")[2]
        place = f"{self._addresses(request).api}/repositories/{moved.id}{match[2]}" + (f"?{query}" if query else "")
        if _changes(request):
            raise Refused(307, "Temporary Redirect", headers={"Location": place})
        raise Refused(301, "Moved Permanently", headers={"Location": place})

    def _addresses(self, request: web.BaseRequest) -> Addresses:
        # Use the host name that the client sent, which may be a proxy's.
        origin = f"{'https' if self._tls else 'http'}://{request.headers.get('Host') or f'{self._host}:{self.port}'}"
        return Addresses(origin + self._base, f"{origin}/api/uploads", origin)

    def _find(self, caller: Caller, owner: str, name: str, *, write: bool = False) -> Repository:
        repository = self._store.find(owner, name)
        if repository is None or not caller.sees(repository):
            raise not_found()
        if write and caller.login is None:
            raise Refused(401, "Requires authentication")
        if write and not caller.writes(repository):
            raise Refused(403, "Must have admin rights to Repository.")
        return repository

    def _find_asset(
        self, caller: Caller, owner: str, name: str, asset_id: str, *, write: bool = False
    ) -> tuple[Repository, Release, Asset]:
        repository = self._find(caller, owner, name, write=write)
        found = repository.find_asset(int(asset_id))
        if found is None or (found[0].draft and not caller.writes(repository)):
            raise not_found()
        return repository, *found

    async def _user(self, request: web.BaseRequest, caller: Caller) -> web.Response:
        if caller.login is None:
            raise Refused(401, "Requires authentication")
        return as_json(self._addresses(request).user(caller.login))

    async def _graphql(self, request: web.BaseRequest, caller: Caller) -> web.Response:
        """
        Report no draft for a tag, the only query that ``gh release`` sends here.
        """
        if caller.login is None:
            raise Refused(401, "Requires authentication")
        if "release(tagName" not in (await _document(request)).get("query", ""):
            return as_json(
                {"errors": [{"type": "UNSUPPORTED", "message": "the stand-in for GitHub does not support this query"}]}
            )
        return as_json({"data": {"repository": {"release": None}}})

    async def _repository(self, request: web.BaseRequest, caller: Caller, owner: str, name: str) -> web.Response:
        return as_json(self._addresses(request).repository(self._find(caller, owner, name)))

    async def _list_releases(self, request: web.BaseRequest, caller: Caller, owner: str, name: str) -> web.Response:
        return releases.listed(self._addresses(request), self._find(caller, owner, name), caller, _query(request))

    async def _create_release(self, request: web.BaseRequest, caller: Caller, owner: str, name: str) -> web.Response:
        repository = self._find(caller, owner, name, write=True)
        release = releases.create(self._store, repository, caller, await _document(request))
        return as_json(self._addresses(request).release(repository, release), 201)

    async def _latest(self, request: web.BaseRequest, caller: Caller, owner: str, name: str) -> web.Response:
        repository = self._find(caller, owner, name)
        return self._found(request, repository, repository.latest_release())

    async def _by_tag(self, request: web.BaseRequest, caller: Caller, owner: str, name: str, tag: str) -> web.Response:
        repository = self._find(caller, owner, name)
        return self._found(request, repository, repository.published(tag))

    def _found(self, request: web.BaseRequest, repository: Repository, release: Release | None) -> web.Response:
        if release is None:
            raise not_found()
        return as_json(self._addresses(request).release(repository, release))

    async def _release(
        self, request: web.BaseRequest, caller: Caller, owner: str, name: str, release_id: str
    ) -> web.Response:
        repository = self._find(caller, owner, name, write=_changes(request))
        release = releases.find(repository, caller, int(release_id))
        if request.method == "DELETE":
            del repository.releases[release.id]
            for asset in release.assets.values():
                await self._drop(asset)
            return web.Response(status=204)
        if request.method == "PATCH":
            releases.update(repository, release, await _document(request))
        return self._found(request, repository, release)

    async def _list_assets(
        self, request: web.BaseRequest, caller: Caller, owner: str, name: str, release_id: str
    ) -> web.Response:
        repository = self._find(caller, owner, name)
        release = releases.find(repository, caller, int(release_id))
        url = f"{self._addresses(request).releases(repository)}/{release.id}/assets"
        page, headers = page_of(list(release.assets.values()), _query(request), url)
        return as_json([self._addresses(request).asset(repository, release, item) for item in page], headers=headers)

    async def _upload(
        self, request: web.BaseRequest, caller: Caller, owner: str, name: str, release_id: str
    ) -> web.Response:
        repository = self._find(caller, owner, name, write=True)
        release = releases.find(repository, caller, int(release_id))
        asset = await assets.receive(self._store, release, caller, _query(request), request)
        return as_json(self._addresses(request).asset(repository, release, asset), 201)

    async def _asset(
        self, request: web.BaseRequest, caller: Caller, owner: str, name: str, asset_id: str
    ) -> web.Response:
        repository, release, asset = self._find_asset(caller, owner, name, asset_id, write=_changes(request))
        if request.method == "DELETE":
            del release.assets[asset.id]
            await self._drop(asset)
            return web.Response(status=204)
        if request.method == "PATCH":
            assets.update(release, asset, await _document(request))
        elif "application/octet-stream" in request.headers.get("Accept", ""):
            return self._redirect(asset)
        return as_json(self._addresses(request).asset(repository, release, asset))

    async def _browser(
        self, _: web.BaseRequest, caller: Caller, owner: str, name: str, tag: str, file: str
    ) -> web.Response:
        release = self._find(caller, owner, name).published(tag)
        for asset in release.assets.values() if release else ():
            if asset.name == file:
                return self._redirect(asset)
        raise not_found()

    def _redirect(self, asset: Asset) -> web.Response:
        if asset.state != "uploaded":
            raise not_found()
        asset.download_count += 1
        return web.Response(status=302, headers={"Location": self.assets.link(asset)})

    async def _drop(self, asset: Asset) -> None:
        self.assets.forget(asset)
        await asset.content.drop()


_Handler = Callable[..., Awaitable[web.Response]]


def _changes(request: web.BaseRequest) -> bool:
    return request.method not in ("GET", "HEAD")


def _query(request: web.BaseRequest) -> dict[str, str]:
    return dict(URL(request.raw_path, encoded=True).query)


def _check_parameters(request: web.BaseRequest, handler: _Handler) -> None:
    known = _PARAMETERS.get(handler, ())
    if unknown := [name for name in _query(request) if name not in known]:
        raise not_implemented(f"the parameter {unknown[0]!r} in this request")


async def _document(request: web.BaseRequest) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(document, dict):
        raise Refused(400, "Body should be a JSON object")
    return document


_ROUTES: Final[list[tuple[str, re.Pattern[str], _Handler]]] = [
    (method, re.compile(pattern), handler)
    for methods, pattern, handler in (
        ("GET", r"/user", GitHubServer._user),
        ("POST", r"(?:/api)?/graphql", GitHubServer._graphql),
        ("GET", _REPO, GitHubServer._repository),
        ("GET", _REPO + r"/releases", GitHubServer._list_releases),
        ("POST", _REPO + r"/releases", GitHubServer._create_release),
        ("GET", _REPO + r"/releases/latest", GitHubServer._latest),
        ("GET", _REPO + r"/releases/tags/(.+)", GitHubServer._by_tag),
        ("GET PATCH DELETE", _REPO + r"/releases/(\d+)", GitHubServer._release),
        ("GET", _REPO + r"/releases/(\d+)/assets", GitHubServer._list_assets),
        ("GET PATCH DELETE", _REPO + r"/releases/assets/(\d+)", GitHubServer._asset),
        ("POST", r"/api/uploads" + _REPO + r"/releases/(\d+)/assets", GitHubServer._upload),
        ("GET", r"/([^/]+)/([^/]+)/releases/download/(.+)/([^/]+)", GitHubServer._browser),
    )
    for method in methods.split()
]

# Those of every other request are refused.
_PARAMETERS: Final[Mapping[_Handler, tuple[str, ...]]] = {
    GitHubServer._list_releases: ("per_page", "page"),
    GitHubServer._list_assets: ("per_page", "page"),
    GitHubServer._upload: ("name", "label"),
}

"""
WebDAV (RFC 4918) as a storage: a whole provider in one file, announced by an entry point.

``dav://bucket/key`` is ``{endpoint_url}/bucket/key``. Collections are common prefixes, and stay when they are empty.
"""

from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import anyio

from asyncstore import DeleteOptions, ListOptions, ObjectURI, ReadOptions, StorageConfig, WriteOptions, errors
from asyncstore.auth.credentials import Secret
from asyncstore.driver import Body, BytesBody, Capabilities, check_read, check_write, page, read_settings
from asyncstore.http import Anonymous, Exchange, HTTPClient, HTTPDriver, Origin, Reply, ReplyBody, Request, object_body
from asyncstore.http.errors import error_kind, service_error
from asyncstore.http.header_values import parse_date
from asyncstore.http.object_headers import condition_headers, failed_match, quoted, read_headers
from asyncstore.http.origin import require_tls
from asyncstore.http.xml import parse
from asyncstore.types import ListPage, Metadata, ObjectInfo

_TEMPORARY, _LAST, _PAGE, _UNLIMITED = ".asyncstore-upload-", "/\U0010ffff", 10_000, 2**63 - 1
_HEADERS = {"getetag": "ETag", "getlastmodified": "Last-Modified", "getcontenttype": "Content-Type"}
_PROPFIND = (
    f'<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><{"/><".join(_HEADERS)}/></prop></propfind>'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DavSettings:  # basic authentication, a bearer token, or neither
    username: str | None = None
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)


class Wire(Exchange[None]):
    def __init__(self, http: HTTPClient, origin: Origin, authorization: Secret | None) -> None:
        super().__init__(http, Anonymous())
        self.origin, self._authorization = origin, authorization

    def locate(self, request: Request) -> tuple[Origin, str]:
        return self.origin, self.origin.path + request.path

    def sign(self, request: Request, origin: Origin, path: str, keys: None) -> tuple[Mapping[str, str], str]:
        secret = {"Authorization": self._authorization.reveal()} if self._authorization else {}
        return {**request.headers, **secret}, request.query

    def explain(self, request: Request, reply: Reply, body: bytes) -> errors.StorageError:
        missing = {"409": errors.NotFoundError} if request.method == "PUT" else {}  # the bucket
        codes = missing | {"301": errors.NotFoundError, "423": errors.UnavailableError}  # a collection; locked
        kind = error_kind(reply.status, str(reply.status), codes)
        return service_error(kind, "", provider="dav", status=reply.status, create_only=request.create_only)


class DavDriver(HTTPDriver):
    _wire: Wire
    provider = "dav"
    capabilities = Capabilities(
        reference="https://www.rfc-editor.org/rfc/rfc4918", max_object_size=_UNLIMITED, max_put_size=_UNLIMITED,
        conditional_read=True, conditional_create=True, conditional_replace=True, conditional_delete=True,
        metadata=False, content_type=False, content_headers=False, list_page_size=_PAGE,
    )  # fmt: skip

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReplyBody:
        reply = await self._wire.send(Request("GET", _path(uri), headers=read_headers(options)))
        try:
            if "ETag" not in reply.headers:
                raise errors.NotFoundError("is a collection: it has no ETag")
            check_read(_metadata(uri, reply.headers), options)  # not every server evaluates all conditions
        except errors.StorageError:
            reply.close()
            raise
        return object_body(reply, options.range, lambda size, _: _metadata(uri, reply.headers, size), lambda _: None)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        (info,) = await self._properties(uri, depth=0)
        if info.is_prefix:
            raise errors.NotFoundError("is a collection")
        check_read(info, options)
        return info

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """Write to a temporary name and move it. A server may delete its target first: then readers find nothing."""
        target, temporary, moving = _path(uri, writing=True), uri.with_key(_TEMPORARY + uuid4().hex), False
        try:
            await self._wire.read(Request("PUT", _path(temporary), body=body))
            info = await self.stat(temporary, ReadOptions())
            await self._check(uri, options)
            to = {"Destination": self._wire.origin.base + target, "Overwrite": "F" if options.if_none_match else "T"}
            if options.if_match is not None:
                to["If"] = f"<{self._wire.origin.path}{target}> ([{quoted(options.if_match)}])"
            move = Request("MOVE", _path(temporary), "", to, create_only=bool(options.if_none_match), accept=409)
            moving = True
            if (await self._wire.read(move))[0].status == 409:  # collections above it are missing
                for above in (uri.key[:end] for end, letter in enumerate(uri.key) if letter == "/"):
                    await self._wire.read(Request("MKCOL", _path(uri.with_key(above)) + "/", accept=405))  # it exists
                await self._wire.read(move._replace(accept=0))
        except BaseException as error:
            if not moving or getattr(error, "status", None):  # else the server may be moving it at this moment
                with anyio.move_on_after(5, shield=True), suppress(errors.StorageError):
                    await self._wire.read(Request("DELETE", _path(temporary)))
            raise
        return replace(info, uri=uri)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        try:
            await self.stat(uri, ReadOptions())  # deleting a collection deletes all that is in it
            headers = condition_headers(options.if_match, None) | {"Depth": "0"}
            await self._wire.read(Request("DELETE", _path(uri), headers=headers))
        except errors.NotFoundError as error:
            if options.if_match is not None:
                raise failed_match(error) from None

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """List the collection that the next key is in, up to where the keys of a collection inside it come."""
        after = token or options.start_after or ""
        folder = max(after, prefix.key).removesuffix(_LAST).rpartition("/")[0]
        try:
            _, *members = await self._properties(prefix.with_key(folder), depth=1)
        except errors.NotFoundError:
            if not folder:
                raise
            return ListPage([], folder + _LAST)
        rows = sorted((info.key, info) for info in members if not info.key.startswith(_TEMPORARY))
        found, last = page(
            lambda bound: (row for row in rows if row[0] >= bound), prefix=prefix.key, after=after,
            delimiter=options.delimiter, limit=min(options.page_size or _PAGE, _PAGE),
        )  # fmt: skip
        infos: list[ObjectInfo] = []
        for key, info in found:
            if info is not None and info.is_prefix:
                return ListPage(infos, key)
            infos.append(info or ObjectInfo(uri=prefix.with_key(key), size=0, is_prefix=True))
        above = None if prefix.key.startswith(f"{folder}/".lstrip("/")) else folder + _LAST
        return ListPage(infos, last or above)

    async def _check(self, target: ObjectURI, options: WriteOptions) -> None:
        there = None
        with suppress(errors.NotFoundError):
            (there,) = await self._properties(target, depth=0)
        if there is not None and there.is_prefix:  # moving would delete it, with all that is in it
            raise errors.InvalidRequestError("cannot be written: a collection has this name", provider="dav")
        check_write(there.etag if there else None, options.if_match, options.if_none_match)

    async def _properties(self, uri: ObjectURI, depth: int) -> list[Metadata]:
        """Return what *uri* is and, for a depth of 1, what is in it. Collections are marked as prefixes."""
        headers = {"Depth": str(depth), "Content-Type": "application/xml"}
        request = Request("PROPFIND", _path(uri) + "/" * depth, headers=headers, body=BytesBody(_PROPFIND.encode()))
        root = parse((await self._wire.read(request))[1])
        if root is None:
            raise errors.UnavailableError("the reply to PROPFIND is not XML")
        paths = {unquote(urlsplit(i.findtext("{*}href", "")).path).rstrip("/"): i for i in root.iterfind("{*}response")}
        infos: list[Metadata] = []
        for path, item in sorted(paths.items()):  # a collection comes before its members
            key = f"{uri.key}/{path.rpartition('/')[2]}".removeprefix("/") if infos else uri.key
            is_prefix = item.find(".//{*}collection") is not None
            values = {header: item.findtext(f".//{{*}}{name}", "") for name, header in _HEADERS.items()}
            size = int(item.findtext(".//{*}getcontentlength") or 0)
            infos.append(_metadata(uri.with_key(key + "/" * is_prefix), values, size, is_prefix))
        return infos


def open_driver(config: StorageConfig) -> DavDriver:
    """Return a driver for *config*; nothing is read or sent."""
    settings = read_settings(DavSettings, config.settings, provider="dav")
    if config.endpoint_url is None:
        raise errors.ConfigurationError("dav needs endpoint_url, the URL of the collection that holds the buckets")
    origin = Origin.parse(config.endpoint_url)
    basic = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    secret = f"Bearer {settings.token}" if settings.token else f"Basic {basic}" if settings.username else None
    require_tls(origin.base, allow_http=config.http.allow_http or not secret)
    return DavDriver(Wire(HTTPClient(config.http, config.session), origin, Secret(secret) if secret else None))


def _path(uri: ObjectURI, writing: bool = False) -> str:
    names = f"{uri.bucket}/{uri.key or uri.bucket}".split("/")
    if {"", ".", ".."} & set(names) or (writing and uri.key.startswith(_TEMPORARY)):
        raise (errors.InvalidURIError if writing else errors.NotFoundError)("is not a path: WebDAV cannot hold it")
    return quote(f"/{uri.bucket}/{uri.key}").rstrip("/")


def _metadata(uri: ObjectURI, headers: Mapping[str, str], size: int = 0, is_prefix: bool = False) -> Metadata:
    etag, date, kind = (headers.get(name) or "" for name in _HEADERS.values())
    etag = etag if etag.startswith("W/") else etag.strip('"')
    return Metadata(
        uri=uri, size=size, etag=etag or None, last_modified=parse_date(date), content_type=kind, is_prefix=is_prefix
    )

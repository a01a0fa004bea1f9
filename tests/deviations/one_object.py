"""
A service with one object, in the dialect of each provider, whose first replies to writes are chosen.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

from asyncstore import Storage, open_storage
from tests.servers.scripted import Exchange, reply, scripted

PROVIDERS: Final = ("s3", "gcs", "azure", "oci")

#: The status and the code of a create-only write that found an object.
REFUSAL: Final[Mapping[str, tuple[int, str]]] = {
    "s3": (412, "PreconditionFailed"),
    "gcs": (412, "conditionNotMet"),
    "azure": (409, "BlobAlreadyExists"),
    "oci": (412, "IfNoneMatchFailed"),
}


@dataclass
class Service:
    """
    One object of one provider.

    Attributes:
        provider: Whose dialect is spoken.
        outcomes: For the first writes, in turn: the status of the reply, with a code or without; ``None``
            closes the connection.
        carried_out: Whether the first writes are carried out all the same.
        data: The object's bytes, if there is one.
        written: When it was written, by this machine's clock.
        skew: Seconds by which the service's clock is ahead.
        writes: How many arrived.
        looks: How many stats arrived.
    """

    provider: str
    outcomes: list[tuple[int, str] | None] = field(default_factory=list)
    carried_out: bool = True
    data: bytes | None = None
    written: float = 0.0
    skew: float = 0.0
    writes: int = 0
    looks: int = 0

    async def answer(self, exchange: Exchange) -> None:
        body = await exchange.body()
        if exchange.method in ("PUT", "POST"):
            await self._write(exchange, body)
        else:
            self.looks += 1
            await exchange.send(self._described(exchange.method))

    async def _write(self, exchange: Exchange, body: bytes) -> None:
        number, self.writes = self.writes, self.writes + 1
        outcome = self.outcomes[number] if number < len(self.outcomes) else (201, "")
        if number < len(self.outcomes) and not self.carried_out:
            pass
        elif self.data is not None:
            outcome = REFUSAL[self.provider] if number >= len(self.outcomes) else outcome
        else:
            self.data, self.written = self._content(body), time.time()
        if outcome is None:
            exchange.writer.close()
            raise EOFError
        status, code = outcome
        await exchange.send(self._created() if status < 300 else self.refusal(status, code))

    def _content(self, body: bytes) -> bytes:
        if self.provider != "gcs":
            return body
        # A document, then the bytes.
        return body.split(b"\r\n\r\n", 2)[2].rpartition(b"\r\n--")[0]

    def refusal(self, status: int, code: str) -> bytes:
        """Return an error in the provider's form; without a code, that of a gateway."""
        date = formatdate(time.time() + self.skew, usegmt=True)
        if not code:
            return reply(status, b"<html>gateway</html>", Date=date)
        if self.provider == "azure":
            return reply(status, Date=date, x_ms_error_code=code)
        if self.provider == "s3":
            return reply(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), Date=date)
        nested = {"error": {"errors": [{"reason": code}], "message": "no"}}
        document = nested if self.provider == "gcs" else {"code": code, "message": "no"}
        return reply(status, json.dumps(document).encode(), Date=date)

    def _created(self) -> bytes:
        return reply(201, self._resource() if self.provider == "gcs" else b"", **self._headers())

    def _described(self, method: str) -> bytes:
        if self.data is None:
            missing = self.refusal(404, "notFound")
            # The reply to a HEAD has no body.
            return missing if method == "GET" else reply(404, Date=self._date(time.time()))
        if self.provider == "gcs":
            return reply(200, self._resource())
        length = f"Content-Length: {len(self.data)}".encode()
        return reply(200, **self._headers()).replace(b"Content-Length: 0", length, 1)

    def _headers(self) -> dict[str, Any]:
        digest = hashlib.md5(self.data or b"", usedforsecurity=False)
        md5 = base64.b64encode(digest.digest()).decode()
        headers: dict[str, Any] = {"Date": self._date(time.time()), "Last-Modified": self._date(self.written)}
        headers["ETag"] = f'"{digest.hexdigest()}"' if self.provider == "s3" else '"0x1"'
        if self.provider == "azure":
            headers |= {"Content-MD5": md5, "x-ms-blob-type": "BlockBlob"}
        if self.provider == "oci":
            headers |= {"Content-MD5": md5, "opc-content-md5": md5}
        return headers

    def _resource(self) -> bytes:
        digest = hashlib.md5(self.data or b"", usedforsecurity=False).digest()
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.written + self.skew))
        return json.dumps(
            {
                "name": "key",
                "bucket": "bucket",
                "generation": "1",
                "size": str(len(self.data or b"")),
                "md5Hash": base64.b64encode(digest).decode(),
                "updated": at,
                "timeCreated": at,
            }
        ).encode()

    def _date(self, moment: float) -> str:
        return formatdate(moment + self.skew, usegmt=True)


@asynccontextmanager
async def serving(service: Service, **settings: Any) -> AsyncIterator[Storage]:
    """Serve *service*, and open a storage on it that does not wait between attempts."""
    async with scripted(service.answer) as server, opened(service.provider, server.url, **settings) as storage:
        yield storage


def opened(provider: str, url: str, **settings: Any) -> Storage:
    """Return a storage of *provider* on the server at *url*."""
    quick = {"initial_backoff": 0.001, "max_backoff": 0.001, **settings}
    if provider == "s3":
        quick |= {"access_key_id": "A", "secret_access_key": "S", "region": "us-east-1"}
        storage = open_storage("s3://bucket", endpoint_url=url, **quick)
        # As at AWS: the endpoint is trusted with conditions, so that no look comes before a write.
        storage._driver.unproven = frozenset()
        return storage
    if provider == "azure":
        return open_storage("azure://container", endpoint_url=f"{url}/acct", account_key="ZmFrZS1rZXk=", **quick)
    if provider == "oci":
        return open_storage("oci://namespace/bucket", endpoint_url=url, region="us-phoenix-1", anonymous=True, **quick)
    if provider == "github":
        return open_storage("github://owner/repo", endpoint_url=url, token="fake", **quick)
    return open_storage("gs://bucket", endpoint_url=url, anonymous=True, **quick)

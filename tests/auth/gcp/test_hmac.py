"""
Google HMAC keys: signed URLs of the GCS driver, and all requests of the S3 driver.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import md5
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from asyncstore import open_storage
from asyncstore.errors import UnauthenticatedError
from asyncstore.testing.servers.gcs import GCSServer, HmacKey, Settings
from tests.auth.conftest import FAKE_SECRET, Serve

ACCESS_ID = "GOOG1EFAKEFAKEFAKEFAKE0001"


class Interoperable:
    """
    The XML API as S3 clients use it. It checks signatures with botocore and stores objects.

    https://cloud.google.com/storage/docs/aws-simple-migration
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.headers: list[set[str]] = []

    async def __call__(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.headers.append(set(headers))
        if not self._signed(request, headers):
            error = "<Error><Code>SignatureDoesNotMatch</Code></Error>"
            return web.Response(status=403, text=error, content_type="application/xml")
        if request.method == "PUT":
            content = self.objects[request.path] = await request.read()
            return web.Response(headers={"ETag": f'"{md5(content).hexdigest()}"'})
        if request.method == "DELETE":
            return web.Response(status=204 if self.objects.pop(request.path, None) is not None else 404)
        if "list-type" in request.query:
            return self._listing()
        if request.path not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        content = self.objects[request.path]
        return web.Response(
            body=content,
            headers={"ETag": f'"{md5(content).hexdigest()}"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"},
        )

    def _listing(self) -> web.Response:
        entries = "".join(
            f"<Contents><Key>{path.split('/', 2)[2]}</Key><Size>{len(content)}</Size>"
            f"<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag></Contents>"
            for path, content in self.objects.items()
        )
        text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")

    def _signed(self, request: web.Request, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "")
        parts = dict(part.split("=", 1) for part in given.removeprefix("AWS4-HMAC-SHA256 ").split(", "))
        key, _, region, service, _ = parts["Credential"].split("/")
        names = parts["SignedHeaders"].split(";")
        signer = S3SigV4Auth(Credentials(ACCESS_ID, FAKE_SECRET), service, region)
        # botocore encodes paths, except for S3.
        url = f"{request.scheme}://{request.host}{request.raw_path.partition('?')[0]}"
        signed = AWSRequest(request.method, url, headers={name: headers[name] for name in names})
        signed.params = dict(parse_qsl(request.query_string, keep_blank_values=True))
        signed.context["timestamp"] = headers["x-amz-date"]
        signed.context["payload_signing_enabled"] = False
        text = signer.string_to_sign(signed, signer.canonical_request(signed))
        return key == ACCESS_ID and service == "s3" and parts["Signature"] == signer.signature(text, signed)


async def test_s3_driver_with_an_hmac_key(serve: Serve) -> None:
    """
    The S3 driver works with an HMAC key, and sends no checksums that Google does not support.
    """
    google = Interoperable()
    settings: dict[str, Any] = {"access_key_id": ACCESS_ID, "secret_access_key": FAKE_SECRET, "region": "auto"}
    endpoint = await serve(google)
    plain: dict[str, Any] = {"checksum": "none", "verify_checksums": False, "addressing_style": "path"}

    async with open_storage("s3://bucket", endpoint_url=endpoint, **settings, **plain) as storage:
        await storage.put(storage.root / "a b.txt", b"data")
        assert await storage.read(storage.root / "a b.txt") == b"data"
        assert [entry.uri.key async for entry in storage.list(storage.root)] == ["a b.txt"]
        await storage.delete(storage.root / "a b.txt")

    assert google.objects == {}
    assert len(google.headers) == 4
    assert not [name for names in google.headers for name in names if "checksum" in name or name == "x-amz-trailer"]


async def test_wrong_secret(serve: Serve) -> None:
    """
    The server of these tests rejects a wrong secret.
    """
    wrong: dict[str, Any] = {
        "access_key_id": ACCESS_ID,
        "secret_access_key": "another",
        "checksum": "none",
        "region": "auto",
    }

    async with open_storage("s3://bucket", endpoint_url=await serve(Interoperable()), **wrong) as storage:
        with pytest.raises(UnauthenticatedError):
            await storage.put(storage.root / "x", b"data")


async def test_signed_urls_with_an_hmac_key() -> None:
    """
    The GCS driver signs URLs with an HMAC key even if its requests use a token.
    """
    settings = Settings(tokens=["fake-token"], hmac_keys=[HmacKey(ACCESS_ID, FAKE_SECRET)])
    async with GCSServer(buckets=["bucket"], settings=settings) as server:
        own: dict[str, Any] = {"token": "fake-token", "hmac_access_id": ACCESS_ID, "hmac_secret": FAKE_SECRET}
        async with open_storage("gs://bucket", endpoint_url=server.url, **own) as storage:
            await storage.put(storage.root / "x", b"data")
            url = await storage.presign(storage.root / "x", expires=timedelta(minutes=5))
        async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as reply:
            assert (reply.status, await reply.read()) == (200, b"data")

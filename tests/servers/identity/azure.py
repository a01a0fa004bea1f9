"""
Local stand-ins for Azure's token services. Each checks the requests it receives.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.tls import ThrowawayCA

TENANT = "00000000-0000-0000-0000-00000000000a"
CLIENT = "00000000-0000-0000-0000-00000000000b"
PASSWORD = "FAKE0password0for0tests0only"
FEDERATED = "FAKE.federated0token0for.tests"
RESOURCE = "https://storage.azure.com"


class RefusedError(Exception):
    """A well-formed request that is refused."""


@dataclass(slots=True)
class Asked:
    """One request for a token."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str] = field(repr=False)


class TokenServer:
    """
    Issues tokens that end in a counter, and records the requests.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.status = 200
        self.delay = 0.0
        self.ttl = 3600.0
        self.error: dict[str, Any] | None = None
        self.problems: list[str] = []

    def fetches(self) -> int:
        return len(self.asked)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers), form)
        self.asked.append(asked)
        await asyncio.sleep(self.delay)
        try:
            self.check(asked, str(request.url.origin()))
        except RefusedError as exc:
            return web.json_response({"error": "invalid_client", "error_description": str(exc)}, status=401)
        except Exception as exc:
            # The test checks this list, whatever the client does with the reply.
            self.problems.append(repr(exc))
            return web.json_response({"error": "invalid_request", "error_description": repr(exc)}, status=400)
        if self.status != 200:
            return web.json_response(self.error or self.refusal(), status=self.status)
        return web.json_response(self.document(f"{FAKE_TOKEN}-{self.fetches()}"))

    def check(self, asked: Asked, origin: str) -> None:
        """Check one request."""

    def refusal(self) -> dict[str, Any]:
        error = "server_error" if self.status >= 500 else "invalid_client"
        text = f"AADSTS7000215: Not this client_secret={FAKE_SECRET} but another.\r\nTrace ID: fake"
        return {"error": error, "error_description": text, "trace_id": "trace-1"}

    def document(self, token: str) -> dict[str, Any]:
        return {"token_type": "Bearer", "expires_in": int(self.ttl), "access_token": token}


class Entra(TokenServer):
    """
    Microsoft Entra's token service, for one application.
    """

    def __init__(self, certificate: ClientCertificate | None = None) -> None:
        super().__init__()
        self.certificate = certificate
        self.tenants = [TENANT]
        self.federated = FEDERATED
        #: Seconds by which the clock of the service is ahead.
        self.ahead = 0.0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        reply = await super().__call__(request)
        reply.headers["Date"] = formatdate(time.time() + self.ahead, usegmt=True)
        return reply

    def check(self, asked: Asked, origin: str) -> None:
        form = asked.form
        tenant, _, rest = asked.path.strip("/").partition("/")
        assert asked.method == "POST"
        assert tenant in self.tenants
        assert rest == "oauth2/v2.0/token"
        assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert (form["client_id"], form["grant_type"]) == (CLIENT, "client_credentials")
        assert form["scope"] == f"{RESOURCE}/.default"
        if "client_secret" in form:
            assert form["client_secret"] == FAKE_SECRET
            return
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        if self.certificate is None:
            assert form["client_assertion"] == self.federated
        else:
            claims = check_assertion(form["client_assertion"], self.certificate, f"{origin}{asked.path}")
            now = time.time() + self.ahead
            if not claims["nbf"] <= now < claims["exp"] <= now + 601:
                raise RefusedError("AADSTS700024: Client assertion is not within its valid time range.")


@dataclass(frozen=True)
class ClientCertificate:
    """
    A client certificate in the supported file formats.
    """

    key: bytes = field(repr=False)
    certificates: tuple[bytes, ...]

    @property
    def pem(self) -> bytes:
        return self.key + b"".join(self.certificates)

    def encrypted(self) -> bytes:
        key = load_pem_private_key(self.key, None)
        encryption = BestAvailableEncryption(PASSWORD.encode())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption) + b"".join(self.certificates)

    def pkcs12(self, password: str | None = PASSWORD) -> bytes:
        own, *others = (x509.load_pem_x509_certificate(item) for item in self.certificates)
        key: Any = load_pem_private_key(self.key, None)
        encryption: Any = BestAvailableEncryption(password.encode()) if password else None
        from cryptography.hazmat.primitives.serialization import NoEncryption

        return pkcs12.serialize_key_and_certificates(b"fake", key, own, others, encryption or NoEncryption())


@cache
def client_certificate(name: str = "application") -> ClientCertificate:
    """
    Return a certificate issued by its own CA.
    """
    authority = trustme.CA()
    issued = authority.issue_cert(f"{name}.example", key_type=trustme.KeyType.RSA)
    own = tuple(pem.bytes() for pem in issued.cert_chain_pems)
    return ClientCertificate(issued.private_key_pem.bytes(), (*own, authority.cert_pem.bytes()))


def check_assertion(assertion: str, certificate: ClientCertificate, audience: str) -> dict[str, Any]:
    """
    Check signature, certificate and audience of an assertion like the service does; return its claims.
    """
    claims: dict[str, Any]
    header, claims = (json.loads(_decoded(part)) for part in assertion.split(".")[:2])
    own = x509.load_pem_x509_certificate(certificate.certificates[0])
    public = own.public_key()
    assert isinstance(public, RSAPublicKey)
    signed, _, signature = assertion.rpartition(".")
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
    public.verify(_decoded(signature), signed.encode(), pss, hashes.SHA256())
    der = own.public_bytes(Encoding.DER)
    assert (header["alg"], header["typ"]) == ("PS256", "JWT")
    assert _decoded(header["x5t#S256"]) == hashlib.sha256(der).digest()
    if "x5c" in header:
        chain = [x509.load_pem_x509_certificate(item).public_bytes(Encoding.DER) for item in certificate.certificates]
        assert [base64.b64decode(item) for item in header["x5c"]] == chain
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, audience)
    assert len(claims["jti"]) == 36
    return claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Metadata(TokenServer):
    """
    The metadata service of a virtual machine.
    """

    path = "/metadata/identity/oauth2/token"
    version: str | None = "2018-02-01"
    names: tuple[str, ...] = ("client_id", "object_id", "msi_res_id")
    header = ("Metadata", "true")

    def check(self, asked: Asked, origin: str) -> None:
        fields = asked.query
        assert asked.method == "GET"
        assert asked.path == self.path
        assert asked.headers[self.header[0]] == self.header[1]
        assert (fields.pop("api-version"), fields.pop("resource")) == (self.version, RESOURCE)
        assert set(fields) <= set(self.names)
        assert "X-Forwarded-For" not in asked.headers

    def document(self, token: str) -> dict[str, Any]:
        # This service writes numbers as text.
        end = int(time.time() + self.ttl)
        return {"access_token": token, "expires_in": str(int(self.ttl)), "expires_on": str(end), "resource": RESOURCE}


class AppService(Metadata):
    """
    The identity service of App Service and Functions, whose replies have ``expires_on`` only.
    """

    path = "/msi/token"
    version = "2019-08-01"
    names: tuple[str, ...] = ("client_id", "object_id", "mi_res_id")
    header = ("X-IDENTITY-HEADER", FAKE_SECRET)

    def document(self, token: str) -> dict[str, Any]:
        return {"access_token": token, "expires_on": str(round(time.time() + self.ttl)), "resource": RESOURCE}


class MachineLearning(AppService):
    """
    The identity service of Azure Machine Learning.
    """

    version = "2017-09-01"
    names = ("clientid",)
    header = ("secret", FAKE_SECRET)


class ServiceFabric(Metadata):
    """
    The identity service of a Service Fabric cluster, with a self-signed certificate.
    """

    path = "/metadata/identity/oauth2/token"
    version = "2019-07-01-preview"
    names: tuple[str, ...] = ()
    header = ("Secret", FAKE_SECRET)


class CloudShell(Metadata):
    """
    The identity service of Cloud Shell, which expects a form.
    """

    path = "/oauth2/token"

    def check(self, asked: Asked, origin: str) -> None:
        assert (asked.method, asked.path) == ("POST", self.path)
        assert asked.headers["Metadata"] == "true"
        assert asked.form == {"resource": RESOURCE}


class Arc(Metadata):
    """
    The agent of Azure Arc, which requires the content of a key file.
    """

    version = "2020-06-01"

    def __init__(self, key_file: Path) -> None:
        super().__init__()
        self.key_file = key_file
        self.challenge = f"Basic realm={key_file}"
        self.echo: dict[str, str] = {}

    def fetches(self) -> int:
        return len([asked for asked in self.asked if "Authorization" not in asked.headers])

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self.status == 200 and "Authorization" not in request.headers:
            self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), {}))
            await asyncio.sleep(self.delay)
            return web.Response(status=401, headers={"WWW-Authenticate": self.challenge})
        return await super().__call__(request)

    def check(self, asked: Asked, origin: str) -> None:
        super().check(asked, origin)
        if self.status == 200:
            assert asked.headers["Authorization"] == f"Basic {FAKE_SECRET}"

    def document(self, token: str) -> dict[str, Any]:
        return super().document(token) | self.echo


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ThrowawayCA | None = None
) -> AsyncIterator[str]:
    """
    Start a server for all paths, with TLS if there is a certificate; yield its URL.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.cert_file, tls.key_file)
    server = TestServer(app, scheme="https" if tls else "http")
    # aiohttp's default waits a minute for open connections.
    await server.start_server(ssl=context, shutdown_timeout=2)
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()

"""
A local stand-in for the services that issue OCI session tokens. It checks the requests it receives.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.auth.conftest import FAKE_TOKEN

TENANCY = f"ocid1.tenancy.oc1..{'fake' * 15}"
INSTANCE = f"ocid1.instance.oc1.phx.{'fake' * 15}"
RESOURCE = "ocid1.datasciencejobrun.oc1.phx.fake"
ACCOUNT_TOKEN = f"fake-service-account-{FAKE_TOKEN}"
REGION = "us-phoenix-1"

_FIELD = re.compile(r'(\w+)="([^"]*)"')


@cache
def key_of(name: str) -> rsa.RSAPrivateKey:
    """Return the key with this name; generating one is slow, so all tests share it."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def pem_of(name: str) -> str:
    return (
        key_of(name)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@cache
def certificate(name: str, issuer: str, *, unit: str = f"opc-tenant:{TENANCY}") -> x509.Certificate:
    """Return the certificate with this name; like OCI's, its names are longer than X.509 allows."""

    def named(text: str) -> x509.NameAttribute[str]:
        with warnings.catch_warnings(action="ignore"):
            return x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)

    now = datetime.now(UTC)
    subject = x509.Name(
        [
            named(INSTANCE if name == "leaf" else name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "opc-certtype:instance"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key_of(name).public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key_of(issuer), hashes.SHA256())
    )


def pem(made: x509.Certificate) -> str:
    return made.public_bytes(serialization.Encoding.PEM).decode()


def token(seconds: float, number: int = 0, *, now: float | None = None) -> str:
    """Return a token with an expiry; its signature is a recognizable dummy."""
    now = time.time() if now is None else now
    claims = {"sub": INSTANCE, "jti": number, "iat": now, "exp": now + seconds}
    sections = [json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode()]
    head = ".".join(base64.urlsafe_b64encode(section).rstrip(b"=").decode() for section in sections)
    # Padded to a valid length of base64.
    return f"{head}.{FAKE_TOKEN}AAA"


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A recorded request.
    """

    method: str
    path: str
    key_id: str
    names: tuple[str, ...]
    headers: dict[str, str]
    document: dict[str, Any]


class Service:
    """
    The metadata service, the federation service, and the token services of resources and clusters.

    Attributes:
        clock_offset: Seconds by which its clock is ahead; it rejects a skew of more than five minutes.
        keys: The public key of each key id with a token.
        metadata: Additional or replaced documents of the metadata service.
        on_issue: Called with each issued token, its public key and its expiry.
    """

    on_issue: Callable[[str, rsa.RSAPublicKey, float], None] | None = None

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.status = 200
        self.delay = 0.0
        self.ttl = 3600.0
        self.clock_offset = 0.0
        self.region = "phx"
        self.metadata: dict[str, str | None] = {}
        self.region_info: dict[str, str] | None = None
        self.answer: web.Response | None = None
        self.security_context: str | None = None
        self.keys: dict[str, rsa.RSAPublicKey] = {}

    def key_of(self, key_id: str, now: float) -> rsa.RSAPublicKey | None:
        """Return the public key of a key id; called when signatures are checked."""
        return self.keys.get(key_id)

    def count(self, method: str, path: str) -> int:
        return sum((one.method, one.path) == (method, path) for one in self.seen)

    def issue(self, seconds: float, key: rsa.RSAPublicKey) -> str:
        """Return a new token for *key*."""
        made = token(seconds, len(self.keys) + 1, now=time.time() + self.clock_offset)
        self.keys[f"ST${made}"] = key
        if self.on_issue is not None:
            self.on_issue(made, key, time.time() + seconds)
        return made

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fields = dict(_FIELD.findall(request.headers.get("Authorization", "")))
        document = json.loads(body) if body else {}
        names = tuple(fields.get("headers", "").split())
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, fields.get("keyId", ""), names, headers, document))
        date = datetime.fromtimestamp(time.time() + self.clock_offset, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        if request.path.startswith("/opc/v2/"):
            reply = self._metadata(request)
        else:
            await asyncio.sleep(self.delay)
            reply = self.answer or self._refusal() or self._routed(request, fields, body, document)
        reply.headers["Date"] = date
        return reply

    def _refusal(self) -> web.Response | None:
        if self.status == 200:
            return None
        error = {"code": "NotAuthenticated", "message": f"No to ST${token(60)}", "token": FAKE_TOKEN}
        return web.json_response(error, status=self.status)

    def _metadata(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer Oracle"
        texts: dict[str, str | None] = {
            "instance/region": self.region,
            "identity/cert.pem": pem(certificate("leaf", "authority")),
            "identity/key.pem": pem_of("leaf"),
            "identity/intermediate.pem": pem(certificate("intermediate", "authority")),
            **self.metadata,
        }
        name = request.path.removeprefix("/opc/v2/")
        if name == "instance/regionInfo" and self.region_info is not None:
            return web.json_response(self.region_info)
        found = texts.get(name)
        return web.Response(text=found) if found is not None else web.Response(status=404)

    def _routed(self, request: web.Request, fields: dict[str, str], body: bytes, document: Any) -> web.Response:
        if request.path == "/v1/x509":
            return self._federation(request, fields, body, document)
        if request.path == "/resourcePrincipalSessionTokens":
            assert request.headers["Authorization"] == f"Bearer {ACCOUNT_TOKEN}"
            issued = json.dumps({"token": f"ST${self._issue_for(document['podKey'])}"}).encode()
            return web.Response(text=f'"{base64.b64encode(issued).decode()}"')
        who = fields.get("keyId", "").split("/")
        assert who[0] == "resource"
        if not self._signed(request, fields, body, "resource", required={"host"}):
            return web.json_response({"code": "NotAuthenticated"}, status=401)
        if request.path == "/v1/resourcePrincipalSessionToken":
            assert document["resourcePrincipalToken"] == f"rpt-{FAKE_TOKEN}"
            assert document["servicePrincipalSessionToken"] == f"spst-{FAKE_TOKEN}"
            return web.json_response({"token": self._issue_for(document["sessionPublicKey"])})
        assert request.path.endswith(f"/{RESOURCE}")
        assert request.headers.get("security-context") == self.security_context
        return web.json_response(
            {"resourcePrincipalToken": f"rpt-{FAKE_TOKEN}", "servicePrincipalSessionToken": f"spst-{FAKE_TOKEN}"}
        )

    def _federation(self, request: web.Request, fields: dict[str, str], body: bytes, document: Any) -> web.Response:
        leaf = certificate("leaf", "authority")
        fingerprint = leaf.fingerprint(hashes.SHA1()).hex(":").upper()
        assert fields["keyId"] == f"{TENANCY}/fed-x509/{fingerprint}"
        if not self._signed(request, fields, body, "leaf", required=set()):
            return web.json_response({"code": "NotAuthenticated"}, status=401)
        sent = x509.load_der_x509_certificate(base64.b64decode(document["certificate"], validate=True))
        assert sent == leaf
        others = [x509.load_der_x509_certificate(base64.b64decode(o)) for o in document["intermediateCertificates"]]
        known = "identity/intermediate.pem" not in self.metadata
        assert others == ([certificate("intermediate", "authority")] if known else [])
        return web.json_response({"token": self._issue_for(document["publicKey"])})

    def _issue_for(self, public_key: str) -> str:
        key = serialization.load_der_public_key(base64.b64decode(public_key, validate=True))
        assert isinstance(key, rsa.RSAPublicKey)
        return self.issue(self.ttl, key)

    def _signed(
        self, request: web.Request, fields: dict[str, str], body: bytes, who: str, *, required: set[str]
    ) -> bool:
        """Return whether the request is signed correctly and within the tolerated clock skew."""
        names = fields["headers"].split()
        expected = {"date", "(request-target)", *required}
        if body:
            expected |= {"content-length", "content-type", "x-content-sha256"}
            assert request.headers["x-content-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert expected == set(names)
        then = datetime.strptime(request.headers["date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
        if abs(then - time.time() - self.clock_offset) > 300:
            return False
        target = f"{request.method.lower()} {request.raw_path}"
        lines = [f"{name}: {target if name == '(request-target)' else request.headers[name]}" for name in names]
        signature = base64.b64decode(fields["signature"], validate=True)
        public = key_of(who).public_key()
        public.verify(signature, "\n".join(lines).encode(), padding.PKCS1v15(), hashes.SHA256())
        return True


@asynccontextmanager
async def serving(service: Service, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run *service* while the block runs; yield its URL."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await service(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


@cache
def cluster() -> tuple[trustme.CA, ssl.SSLContext]:
    """Return the CA of a cluster, and the TLS context of its server."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return authority, context

"""
An Azure Blob server as tests see it: its address, its credentials, and how it differs from Azure.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient

from tests.servers.azure_quirks import SENTENCES


@dataclass(frozen=True, slots=True)
class AzureServer:
    """
    A running server that checks signatures.

    Attributes:
        endpoint_url: Contains the account in its path.
        ca_file: Certificates to trust, when *endpoint_url* is https.
        quirks: Names from `tests.servers.azure_quirks`.
    """

    name: str
    endpoint_url: str
    account_name: str
    account_key: str = field(repr=False)
    ca_file: Path | None = None
    quirks: frozenset[str] = frozenset()

    @property
    def place(self) -> dict[str, Any]:
        """Settings of a storage on it, without credentials."""
        return {"endpoint_url": self.endpoint_url, "account_name": self.account_name, "ca_file": self.ca_file}

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a storage on it, with the account key."""
        return {**self.place, "account_key": self.account_key}

    @property
    def connection_string(self) -> str:
        """The same settings for the SDK."""
        protocol = self.endpoint_url.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={protocol};AccountName={self.account_name};AccountKey={self.account_key};"
            f"BlobEndpoint={self.endpoint_url};"
        )

    def skip_if(self, quirk: str) -> None:
        """End the running test as an expected failure, with the reason, if this server has the quirk."""
        if quirk in self.quirks:
            pytest.xfail(f"{self.name}: {quirk}. {SENTENCES[quirk]}")


class FakeToken(NamedTuple):
    """A token as azure-core returns it."""

    token: str
    expires_on: int


class FakeCredential:
    """
    A token credential like those of azure-identity; its tokens are not signed.

    Attributes:
        asked: Number of tokens requested.
    """

    def __init__(self, lifetime: float = 3600.0) -> None:
        self.asked = 0
        self._lifetime = lifetime

    async def get_token(self, *scopes: str, **options: Any) -> FakeToken:
        self.asked += 1
        return fake_token(self._lifetime)


def fake_token(lifetime: float = 3600.0) -> FakeToken:
    """
    Return a token that Azurite accepts: it checks the claims, not the signature.
    """
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000001/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + int(lifetime),
        "oid": "00000000-0000-0000-0000-000000000002",
        "tid": "00000000-0000-0000-0000-000000000001",
        "jti": uuid.uuid4().hex,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join([base64.urlsafe_b64encode(part).rstrip(b"=") for part in [*parts, b"fake-signature"]])
    return FakeToken(signed.decode("ascii"), now + int(lifetime))


def trusting(server: AzureServer) -> aiohttp.ClientSession:
    """
    Return an HTTP client that trusts *server*.
    """
    trust = ssl.create_default_context(cafile=server.ca_file) if server.ca_file else True
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))


@contextmanager
def blocking_client(server: AzureServer) -> Iterator[BlobServiceClient]:
    """
    Yield an SDK client that neither retries nor uses proxies from the environment.
    """
    transport = RequestsTransport(
        connection_verify=str(server.ca_file) if server.ca_file else True, use_env_settings=False
    )
    with BlobServiceClient.from_connection_string(
        server.connection_string, transport=transport, retry_total=0, connection_timeout=5, read_timeout=20
    ) as client:
        yield client


def fresh_container(server: AzureServer) -> str:
    """
    Create an empty container and return its name.

    It is not removed: the server and its data are deleted at the end of the session.
    """
    name = f"test-{uuid.uuid4().hex}"
    with blocking_client(server) as client:
        client.create_container(name)
    return name

"""
Accounts, clients and requests for the tests of Google Cloud Storage's stand-in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account

from asyncstore.testing.servers.gcs import ServiceAccount

# google-auth's functions are untyped, though the package says that it has types.
_ANONYMOUS: Any = AnonymousCredentials
_ACCOUNT: Any = service_account.Credentials
_USER: Any = oauth2.Credentials

EMAIL = "fake@test.iam.gserviceaccount.com"
QUANTUM = 256 * 1024
MIB = 1024 * 1024


@cache
def private_key() -> rsa.RSAPrivateKey:
    """A key for this session only."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account() -> ServiceAccount:
    """The account of that key, as the server knows it."""
    public = private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return ServiceAccount(EMAIL, public)


def key_file(url: str) -> dict[str, str]:
    """The same account as its holder knows it: what is in a service account's file."""
    pem = private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "fake-key-id",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "client_id": "0",
        "token_uri": f"{url}/token",
    }


@contextmanager
def sdk(url: str, credentials: Any = None) -> Iterator[storage.Client]:
    """Google's own client, unchanged but for the address."""
    client = storage.Client(
        project="test", credentials=credentials or _ANONYMOUS(), client_options={"api_endpoint": url}
    )
    try:
        yield client
    finally:
        client.close()


def service_account_credentials(url: str, scopes: list[str] | None = None) -> Any:
    """What Google's client makes of the account's file."""
    return _ACCOUNT.from_service_account_info(key_file(url), scopes=scopes)


def user_credentials(token: str | None, **options: Any) -> Any:
    """What Google's client holds for a user."""
    return _USER(token, **options)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run what blocks, while the server answers on this loop."""
    return await asyncio.to_thread(work)


def random_bytes(size: int) -> bytes:
    return os.urandom(size)

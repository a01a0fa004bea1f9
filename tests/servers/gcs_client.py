"""
Google's own client, and an account for it, for our stand-in for Google Cloud Storage.
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

# The functions of google-auth are untyped, although the package declares types.
_ANONYMOUS: Any = AnonymousCredentials
_ACCOUNT: Any = service_account.Credentials
_USER: Any = oauth2.Credentials

EMAIL = "fake@test.iam.gserviceaccount.com"
QUANTUM = 256 * 1024
MIB = 1024 * 1024


@cache
def private_key() -> rsa.RSAPrivateKey:
    """Return a private key; all tests share one, since generating it is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def account() -> ServiceAccount:
    """Return the account of that key, as the server stores it."""
    public = private_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return ServiceAccount(EMAIL, public)


def key_file(url: str) -> dict[str, str]:
    """Return the contents of the key file of that account."""
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
    """Yield Google's own client, with only the address changed."""
    client = storage.Client(
        project="test", credentials=credentials or _ANONYMOUS(), client_options={"api_endpoint": url}
    )
    try:
        yield client
    finally:
        client.close()


def service_account_credentials(url: str, scopes: list[str] | None = None) -> Any:
    """Return the credentials that Google's client reads from the key file."""
    return _ACCOUNT.from_service_account_info(key_file(url), scopes=scopes)


def user_credentials(token: str | None, **options: Any) -> Any:
    """Return the credentials of a user, as Google's client stores them."""
    return _USER(token, **options)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run *work*, which blocks, in a thread, while the server answers on this loop."""
    return await asyncio.to_thread(work)


def random_bytes(size: int) -> bytes:
    return os.urandom(size)

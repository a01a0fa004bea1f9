"""
Private RSA keys: which are accepted, and that loading one does not block the event loop.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore._support.threads import in_thread
from asyncstore.auth.rsa_keys import generate_rsa_key, load_rsa_key, public_key_text
from asyncstore.errors import ConfigurationError


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return generate_rsa_key()


def pem_of(key: rsa.RSAPrivateKey, phrase: bytes | None = None) -> bytes:
    closed = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)


def test_public_key_text(key: rsa.RSAPrivateKey) -> None:
    """
    It is the body of the PEM file.
    """
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    assert public_key_text(key) == "".join(pem.decode().splitlines()[1:-1])


@pytest.mark.parametrize("phrase", [None, b"fake"])
def test_load(key: rsa.RSAPrivateKey, phrase: bytes | None) -> None:
    """
    A written key is loaded, even with a passphrase that it does not need.
    """
    loaded = load_rsa_key(pem_of(key, phrase), "fake", "the key", extra="oci")

    assert loaded.private_numbers() == key.private_numbers()


def test_damaged(key: rsa.RSAPrivateKey) -> None:
    """
    A key whose parts do not match is rejected, although its PEM is valid.
    """
    own = key.private_numbers()
    mixed = rsa.RSAPrivateNumbers(
        own.p, own.q, own.d - 2, own.dmp1 - 2, own.dmq1 - 2, own.iqmp, public_numbers=own.public_numbers
    )
    pem = pem_of(mixed.private_key(unsafe_skip_rsa_key_validation=True))

    with pytest.raises(ConfigurationError, match="the key is damaged"):
        load_rsa_key(pem, None, "the key", extra="oci")


async def test_loading_does_not_block_the_loop(key: rsa.RSAPrivateKey) -> None:
    """
    While a thread loads keys the event loop keeps running.
    """
    keys, pem = 40, pem_of(key)
    stalls = 0
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            in_thread(lambda: [load_rsa_key(pem, None, "the key", extra="oci") for _ in range(keys)])
        )
        while not running.done():
            before = time.perf_counter()
            await asyncio.sleep(0)
            stalls += time.perf_counter() - before > 0.005

    # Others on this machine can be the cause of some.
    assert stalls < keys / 2

"""
Private RSA keys: which are taken, and that reading one holds up nobody.
"""

from __future__ import annotations

import asyncio
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.auth.rsa_keys import generate_rsa_key, load_rsa_key, public_key_text
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return generate_rsa_key()


def pem_of(key: rsa.RSAPrivateKey, phrase: bytes | None = None) -> bytes:
    closed = serialization.BestAvailableEncryption(phrase) if phrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, closed)


def test_public_half(key: rsa.RSAPrivateKey) -> None:
    """
    It is what stands between the lines of its PEM.
    """
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    assert public_key_text(key) == "".join(pem.decode().splitlines()[1:-1])


@pytest.mark.parametrize("phrase", [None, b"fake"])
def test_load(key: rsa.RSAPrivateKey, phrase: bytes | None) -> None:
    """
    What was written is read, with a passphrase even where none is needed.
    """
    loaded = load_rsa_key(pem_of(key, phrase), "fake", "the key", extra="oci")

    assert loaded.private_numbers() == key.private_numbers()


def test_damaged(key: rsa.RSAPrivateKey) -> None:
    """
    A key whose halves do not belong together is refused, though its PEM is one.
    """
    own = key.private_numbers()
    mixed = rsa.RSAPrivateNumbers(
        own.p, own.q, own.d - 2, own.dmp1 - 2, own.dmq1 - 2, own.iqmp, public_numbers=own.public_numbers
    )
    pem = pem_of(mixed.private_key(unsafe_skip_rsa_key_validation=True))

    with pytest.raises(ConfigurationError, match="the key is damaged"):
        load_rsa_key(pem, None, "the key", extra="oci")


async def test_nobody_is_held_up(key: rsa.RSAPrivateKey) -> None:
    """
    While a thread reads keys, the event loop goes on: no key takes the interpreter away from it.
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

"""
OCI signatures match those of Oracle's SDK.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.auth.oci.signature import OCIKeys, sign_headers
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.drivers.oci.addresses import encode_segment
from asyncstore.http.origin import encode_query
from tests.servers.oci import user

WHEN = 1_790_000_000.75
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
QUERIES = st.lists(st.tuples(st.sampled_from(["prefix", "start", "limit", "uploadId"]), NAMES), max_size=3)


def keys() -> OCIKeys:
    return OCIKeys(user().key_id, load_rsa_key(user().private_key.encode(), None, "the key", extra="oci"))


@pytest.fixture(scope="module")
def mine() -> OCIKeys:
    return keys()


@pytest.fixture(scope="module")
def theirs() -> Any:
    from oci.signer import Signer

    who = user()
    return Signer(who.tenancy, who.user, who.fingerprint, None, private_key_content=who.private_key)


def signed_by_sdk(signer: Any, method: str, url: str, content: bytes | None) -> dict[str, str]:
    """
    Return the signature headers of the SDK for a request.
    """
    from oci._vendor import requests

    headers = {"date": formatdate(int(WHEN), usegmt=True)}
    if content is not None:
        headers |= {"content-type": "application/json", "content-length": str(len(content))}
    request = requests.Request(method, url, data=content, headers=headers).prepare()
    signed = signer.do_request_sign(request, enforce_content_headers=content is not None)
    wanted = ("date", "authorization", "content-length", "content-type", "x-content-sha256")
    found = {name.lower(): value for name, value in signed.headers.items()}
    names = wanted if content is not None else wanted[:2]
    return {name: found[name] for name in names}


# The SDK's HTTP library removes the path segments "." and "..", so it cannot send these keys.
KEYS = NAMES.filter(lambda key: key not in (".", ".."))


@given(method=st.sampled_from(["GET", "HEAD", "DELETE", "PUT"]), key=KEYS, query=QUERIES)
def test_plain(mine: OCIKeys, theirs: Any, method: str, key: str, query: list[tuple[str, str]]) -> None:
    """
    Requests without a signed body match for any key and query.
    """
    target = f"/n/ns/b/bucket/o/{encode_segment(key)}" + (f"?{encode_query(query)}" if query else "")
    ours = sign_headers(method, target, "objectstorage.example:8443", keys=mine, when=WHEN)

    assert signed_by_sdk(theirs, method, "https://objectstorage.example:8443" + target, None) == ours


@given(content=st.binary(min_size=1, max_size=200), query=QUERIES)
def test_document(mine: OCIKeys, theirs: Any, content: bytes, query: list[tuple[str, str]]) -> None:
    """
    Requests with a signed document match.
    """
    target = "/n/ns/b/bucket/u" + (f"?{encode_query(query)}" if query else "")
    ours = sign_headers("POST", target, "objectstorage.example", keys=mine, when=WHEN, content=content)

    assert signed_by_sdk(theirs, "POST", "https://objectstorage.example" + target, content) == ours


def test_session_token(mine: OCIKeys) -> None:
    """
    The signature of a session matches that of the SDK's security token signer.
    """
    from oci.auth.signers import SecurityTokenSigner

    token = "FAKE.session.token"
    ours = sign_headers("GET", "/n", "objectstorage.example", keys=OCIKeys(f"ST${token}", mine.private_key), when=WHEN)

    signer = SecurityTokenSigner(token, mine.private_key)
    assert signed_by_sdk(signer, "GET", "https://objectstorage.example/n", None) == ours


def test_every_second_has_its_date(mine: OCIKeys) -> None:
    """
    The cached date changes with every second.
    """
    dates = {sign_headers("GET", "/n", "host", keys=mine, when=WHEN + i)["date"] for i in range(9)}

    assert len(dates) == 9


def test_repr_has_no_secrets(mine: OCIKeys) -> None:
    """
    The repr contains neither token nor key.
    """
    session = OCIKeys("ST$FAKE.session.token", mine.private_key)

    assert "FAKE" not in repr(session) + str(session)
    assert repr(session) == "OCIKeys()"


def test_equal_if_they_sign_alike(mine: OCIKeys) -> None:
    """
    Keys are equal if key id and private key are.
    """
    assert mine == keys()
    assert hash(mine) == hash(keys())
    assert mine != OCIKeys("somebody/else/aa", mine.private_key)
    assert mine != "keys"

"""
Our signatures are identical to botocore's.
"""

from __future__ import annotations

import hmac
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from botocore import auth as botocore_auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.utils import percent_encode
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncstore.auth.aws.sigv4 import (
    UNSIGNED_PAYLOAD,
    AWSKeys,
    KeyedHash,
    encode_key,
    encode_query,
    presign_url,
    sign_headers,
)
from asyncstore.auth.credentials import Scope

WHEN = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
FAKE = AWSKeys("AKIDFAKEFAKEFAKE", "fake/secret+key=for~tests")
FAKE_SESSION = AWSKeys("ASIAFAKEFAKEFAKE", "fake/secret", "fake+session/token==")
FAKES = st.sampled_from([FAKE, FAKE_SESSION])

texts = st.one_of(
    st.text(alphabet="+%/?#~& =.-_é日😀\t\"'ab", max_size=20),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12),
)
object_keys = st.one_of(
    texts, st.lists(st.sampled_from([".", "..", "", "a", "%2F", "b c", "~"]), max_size=6).map("/".join)
)
pairs = st.lists(
    st.tuples(st.sampled_from(["uploads", "a", "a-b", "A", "list-type", "é", "x y"]) | texts, texts), max_size=6
)
scopes = st.builds(Scope, st.sampled_from(["us-east-1", "eu-central-2", "auto"]), st.sampled_from(["s3", "s3express"]))
methods = st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"])
names = st.sampled_from(
    ["Content-Type", "content-md5", "x-amz-meta-Case", "x-amz-acl", "Range", "If-Match", "User-Agent", "Expect"]
)
values = st.text(alphabet="ab;= \t,é", max_size=16).map(str.strip) | st.just("two  inner   spaces")
headers_sent = st.dictionaries(names, values, max_size=5)
hashes = st.sampled_from([UNSIGNED_PAYLOAD, "ab" * 32])


def _frozen(remove_tzinfo: bool = True) -> datetime:
    return WHEN.replace(tzinfo=None) if remove_tzinfo else WHEN


def _credentials(keys: AWSKeys) -> Any:
    return Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)


def _their_headers(
    method: str, url: str, headers: dict[str, str], keys: AWSKeys, scope: Scope, payload_hash: str
) -> dict[str, str]:
    request: Any = AWSRequest(method=method, url=url, headers=headers)
    request.context["client_config"] = Config(s3={"payload_signing_enabled": True})
    signer = botocore_auth.S3SigV4Auth(_credentials(keys), scope.service, scope.region)
    with (
        patch.object(botocore_auth, "get_current_datetime", _frozen),
        patch.object(signer, "payload", lambda _: payload_hash),
    ):
        signer.add_auth(request)
    return dict(request.headers.items())


@settings(max_examples=300)
@given(methods, object_keys, pairs, headers_sent, FAKES, scopes, hashes)
@example("GET", "a/../b//./c", [("a-b", "1"), ("a", "2"), ("a", "1"), ("uploads", "")], {}, FAKE, Scope("r"), "ab" * 32)
def test_headers_are_those_of_botocore(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    keys: AWSKeys,
    scope: Scope,
    payload_hash: str,
) -> None:
    """
    For any method, key, query, headers and keys we add exactly the headers that botocore adds.
    """
    path, query_text = f"/bucket/{encode_key(key)}", encode_query(query)
    url = f"https://store.example:9000{path}" + (f"?{query_text}" if query_text else "")

    ours = sign_headers(
        method,
        path,
        query_text,
        [("Host", "store.example:9000"), *headers.items()],
        keys=keys,
        scope=scope,
        when=WHEN.timestamp(),
        payload_hash=payload_hash,
    )

    theirs = _their_headers(method, url, headers, keys, scope, payload_hash)
    assert {name.lower(): value for name, value in ours.items()} == {
        name.lower(): value for name, value in theirs.items() if name not in headers
    }


@settings(max_examples=300)
@given(
    methods,
    object_keys,
    pairs.map(lambda found: [(name, value) for name, value in dict(found).items() if name]),
    headers_sent,
    FAKES,
    scopes,
    st.integers(1, 604800),
)
def test_presigned_url_is_that_of_botocore(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    keys: AWSKeys,
    scope: Scope,
    seconds: int,
) -> None:
    """
    A presigned URL is identical to that of botocore.
    """
    url = f"https://store.example/bucket/{encode_key(key)}"
    query_text = f"?{encode_query(query)}" if query else ""
    request: Any = AWSRequest(method=method, url=url + query_text, headers=headers)
    signer = botocore_auth.S3SigV4QueryAuth(_credentials(keys), scope.service, scope.region, expires=seconds)
    with patch.object(botocore_auth, "get_current_datetime", _frozen):
        signer.add_auth(request)

    ours = presign_url(
        method,
        url,
        keys=keys,
        scope=scope,
        when=WHEN.timestamp(),
        expires=timedelta(seconds=seconds),
        headers=headers,
        query=query,
    )

    assert request.url == ours


@given(object_keys)
def test_encoded_key(key: str) -> None:
    """
    Encoding is lossless, and is the one encoding that S3 signs.
    """
    encoded = encode_key(key)

    assert percent_encode(key, safe="/~") == encoded
    assert key == unquote(encoded)


@given(pairs)
def test_encoded_query(query: list[tuple[str, str]]) -> None:
    """
    Names and values are decoded unchanged, including spaces and plus signs.
    """
    assert query == parse_qsl(encode_query(query), keep_blank_values=True)
    assert "+" not in encode_query(query)


def test_request_is_signed_anew_over_its_old_signature() -> None:
    """
    Headers added by the first signature are not part of the second.
    """
    host = [("Host", "store.example"), ("x-amz-content-sha256", UNSIGNED_PAYLOAD)]

    def sign(headers: list[tuple[str, str]], when: float) -> dict[str, str]:
        return sign_headers("GET", "/k", "", headers, keys=FAKE_SESSION, scope=Scope("r"), when=when)

    first = sign(host, 0)

    assert sign(host, 60) == sign([*host, *first.items()], 60)
    assert first != sign(host, 60)


def test_repeated_header_is_joined() -> None:
    """
    A repeated header is signed once, with both values in order.
    """
    host = ("Host", "store.example")

    def sign(*headers: tuple[str, str]) -> str:
        return sign_headers("GET", "/", "", [host, *headers], keys=FAKE, scope=Scope("r"), when=0)["Authorization"]

    assert sign(("x-amz-a", "b"), ("X-Amz-A", "a")) == sign(("x-amz-a", "b,a"))


def test_headers_without_host_are_refused() -> None:
    """
    A signature without a host would be valid for any server: it is an error.
    """
    with pytest.raises(ValueError, match="Host"):
        sign_headers("GET", "/", "", [], keys=FAKE, scope=Scope("r"), when=0)


@pytest.mark.parametrize("expires", [timedelta(0), timedelta(seconds=-5), timedelta(days=7, seconds=1)])
def test_lifetime_of_a_url_has_limits(expires: timedelta) -> None:
    """
    A presigned URL is valid for one second to seven days.
    """
    with pytest.raises(ValueError, match="seven days"):
        presign_url("GET", "https://h/k", keys=FAKE, scope=Scope("r"), when=0, expires=expires)


def test_userinfo_and_default_port_are_not_in_the_signed_host() -> None:
    """
    The host is signed as a client sends it.
    """

    def signature(url: str) -> str:
        signed = presign_url("GET", url, keys=FAKE, scope=Scope("r"), when=0, expires=timedelta(hours=1))
        return urlsplit(signed).query.rpartition("=")[2]

    assert signature("https://store.example/k") == signature("https://store.example:443/k")
    assert signature("https://store.example/k") != signature("https://store.example:444/k")


def test_repr_of_keys_shows_nothing() -> None:
    """
    The repr of keys shows no part of them.
    """
    assert repr(FAKE_SESSION) == "AWSKeys()"


def test_signing_calls_little() -> None:
    """
    Signing again with the same key calls few functions: more would mean a lost cache or needless parsing.
    """
    headers = [("Host", "store.example"), ("x-amz-content-sha256", UNSIGNED_PAYLOAD)]
    called: list[str] = []

    def once() -> None:
        sign_headers("GET", "/bucket/key", "", headers, keys=FAKE, scope=Scope("r"), when=1e9)

    once()
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_qualname) if event == "call" else None)
    once()
    sys.setprofile(None)

    assert len(called) <= 20, called


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_keyed_hash_is_hmac(key: bytes, message: bytes) -> None:
    """
    A prepared key repeatedly produces the codes of the standard library.
    """
    keyed = KeyedHash(key)

    assert keyed.hexdigest(message) == hmac.new(key, message, "sha256").hexdigest()
    assert keyed.hexdigest(message[1:]) == hmac.new(key, message[1:], "sha256").hexdigest()
    assert repr(keyed).startswith("<asyncstore.auth.aws.sigv4.KeyedHash object")

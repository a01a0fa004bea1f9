"""
Shared Key and SAS signatures match those of Microsoft's SDK.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy
from azure.storage.blob._shared_access_signature import _BlobSharedAccessHelper
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstore.auth.azure.sas import (
    SAS_VERSION,
    BlobGrant,
    UserDelegationKey,
    read_sas,
    service_sas,
    user_delegation_sas,
)
from asyncstore.auth.azure.shared_key import SharedKey
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import encode_query

FAKE_KEY = base64.b64encode(b"fake-key-of-no-account").decode()
FAKE = SharedKey.parse("fakeaccount", FAKE_KEY)
WHEN = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)

methods = st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"])
keys = st.text(alphabet="+%/?#~& =.-_é日😀\t\"'ab", max_size=20)
own_names = st.text(alphabet="abcxyz-_0123456789", min_size=1, max_size=12).map(lambda name: f"x-ms-{name}")
standard_names = st.sampled_from(
    ["Content-Type", "Content-MD5", "If-Match", "If-None-Match", "If-Modified-Since", "Content-Language", "Accept"]
)
values = st.text(alphabet="ab;= \t,é", max_size=16).map(str.strip) | st.just("two  inner   spaces")
queries = st.dictionaries(
    st.sampled_from(["comp", "restype", "prefix", "marker", "include", "blockid", "versionid", "a", "snapshot"]),
    st.text(alphabet="+%/?#~& =.-_éab", max_size=12),
    max_size=5,
)


def of_the_sdk(method: str, url: str, headers: dict[str, str], length: int) -> str:
    request = HttpRequest(method, url, headers=dict(headers))
    if length:
        request.headers["Content-Length"] = str(length)
    pipeline = PipelineRequest(request, PipelineContext(None))
    policy: Any = SharedKeyCredentialPolicy
    policy("fakeaccount", FAKE_KEY).on_request(pipeline)
    return str(request.headers["Authorization"])


@given(
    methods,
    keys,
    queries,
    st.dictionaries(own_names | standard_names, values, max_size=8),
    st.integers(0, 2**40),
)
@example("GET", "a", {}, {"x-ms-meta-a_1": "1", "x-ms-meta-a1": "2", "x-ms-meta-a-1": "3", "x-ms-meta-a": ""}, 0)
@example("PUT", "a", {"comp": "block", "blockid": "Zg=="}, {"x-ms-ab": "1", "x-ms-a-b": "2", "x-ms-a-bc": "3"}, 7)
def test_signature(method: str, key: str, query: dict[str, str], headers: dict[str, str], length: int) -> None:
    """
    Any request gets the SDK's signature, including the service's own order of header names.
    """
    # Empty standard headers are not sent.
    sent = {name: value for name, value in headers.items() if value or name.startswith("x-ms-")}
    encoded = encode_query(query.items())
    path = f"/container/{quote(key, safe='/')}"
    url = f"https://fakeaccount.blob.core.windows.net{path}" + (f"?{encoded}" if encoded else "")

    ours = FAKE.authorization(method, path, encoded, sent.items(), length)

    assert ours == of_the_sdk(method, url, sent, length)


def test_account_in_the_path() -> None:
    """
    For an emulator the signed path contains the account twice.
    """
    path = "/fakeaccount/container/blob"

    ours = FAKE.authorization("GET", path, "", [("x-ms-date", "now")])

    assert ours == of_the_sdk("GET", f"http://127.0.0.1:10000{path}", {"x-ms-date": "now"}, 0)


def test_range_is_signed() -> None:
    """
    ``Range``, which the SDK never sends, is signed too.
    """
    one, other = (FAKE.authorization("GET", "/c/b", "", [("Range", f"bytes=0-{end}")]) for end in (1, 2))

    assert one != other


@given(st.text(alphabet="aé日 /.%&=+", min_size=1, max_size=20), st.sampled_from(["r", "cw", "d"]), st.booleans())
def test_service_sas(blob: str, permissions: str, https_only: bool) -> None:
    """
    The query has the SDK's signature.
    """
    if blob.startswith("/"):
        blob = f"x{blob}"
    grant = BlobGrant(container="c", blob=blob, permissions=permissions, expires=WHEN, https_only=https_only)

    assert dict(parse_qsl(service_sas(FAKE, grant))) == signed_by_the_sdk(grant)


@pytest.mark.parametrize("resource", ["b", "bs", "bv"])
def test_service_sas_with_headers_of_the_reply(resource: str) -> None:
    """
    So has that of a version or a snapshot, and one that sets headers of the reply.
    """
    grant = BlobGrant(
        container="c",
        blob="a b",
        permissions="r",
        expires=WHEN,
        resource=resource,
        moment="" if resource == "b" else "2026-02-28T23:59:58.1234567Z",
        response={"cache-control": "no-store", "content-disposition": "inline; filename=ü", "content-type": "a/b"},
    )

    signed = dict(parse_qsl(service_sas(FAKE, grant)))

    assert signed == signed_by_the_sdk(grant)
    assert (signed["sr"], signed["rscc"], signed["rsct"]) == (resource, "no-store", "a/b")


def signed_by_the_sdk(grant: BlobGrant) -> dict[str, str]:
    """Run the SDK's code with our service version."""
    maker: Any = _BlobSharedAccessHelper
    helper = maker()
    helper.add_base(grant.permissions, grant.expiry, None, None, grant.protocol, SAS_VERSION)
    helper.add_resource(grant.resource)
    helper.add_timestamp(grant.moment or None)
    names = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
    helper.add_override_response_headers(*(grant.response.get(name) for name in names))
    helper.add_resource_signature("fakeaccount", FAKE_KEY, f"{grant.container}/{grant.blob}")
    return dict(parse_qsl(helper.get_token()))


def test_user_delegation_sas_names_the_key() -> None:
    """
    The query names the delegation key, whose value is not in the repr. The contract suite checks it against Azurite.
    """
    key = UserDelegationKey("oid", "tid", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z", "b", "v", b"fake-value")
    grant = BlobGrant(container="c", blob="a b", permissions="r", expires=WHEN)

    pairs = dict(parse_qsl(user_delegation_sas("fakeaccount", key, grant)))

    assert [pairs[name] for name in ("skoid", "sktid", "skt", "ske", "sks", "skv")] == [
        "oid",
        "tid",
        "2026-02-28T00:00:00Z",
        "2026-03-01T00:00:00Z",
        "b",
        "v",
    ]
    assert (pairs["sp"], pairs["se"], pairs["spr"]) == ("r", "2026-02-28T23:59:58Z", "https")
    assert "fake-value" not in repr(key)


@pytest.mark.parametrize("text", ["", "not base64!", "===="])
def test_invalid_key(text: str) -> None:
    """
    An invalid key is rejected, and the error does not show it.
    """
    with pytest.raises(ConfigurationError) as failure:
        SharedKey.parse("fakeaccount", text)

    assert not text or text not in str(failure.value)


def test_key_is_not_shown() -> None:
    """
    The repr shows the account but not the key.
    """
    assert "fakeaccount" in repr(FAKE)
    assert "fake-key" not in repr(FAKE)


def test_read_sas() -> None:
    """
    A leading question mark is removed, and the expiry is parsed if there is one.
    """
    query, end = read_sas("?sv=2022-11-02&se=2026-02-28T23%3A59%3A58Z&sig=fake")

    assert query == "sv=2022-11-02&se=2026-02-28T23%3A59%3A58Z&sig=fake"
    assert end == WHEN
    assert read_sas("si=policy&sig=fake")[1] is None
    assert read_sas("se=2026-02-28&sig=fake")[1] == datetime(2026, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "sv=1", "fake-secret", "se=soon&sig=fake-secret"])
def test_invalid_sas(text: str) -> None:
    """
    An invalid SAS token is rejected, and the error does not show it.
    """
    with pytest.raises(ConfigurationError) as failure:
        read_sas(text)

    assert "fake-secret" not in str(failure.value)

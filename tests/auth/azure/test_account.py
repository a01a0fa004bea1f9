"""
Connection strings and endpoints are parsed the way Microsoft's SDK parses them.
"""

from __future__ import annotations

import pytest
from azure.storage.blob import BlobServiceClient

from asyncstore.auth.azure.account import (
    DEVELOPMENT_ACCOUNT,
    DEVELOPMENT_KEY,
    account_endpoint,
    account_of,
    parse_connection_string,
)
from asyncstore.errors import ConfigurationError

FAKE_KEY = "ZmFrZS1rZXk="

STRINGS = {
    "portal": f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={FAKE_KEY};EndpointSuffix=core.windows.net",
    "china": f"AccountName=acct;AccountKey={FAKE_KEY};"
    "EndpointSuffix=core.chinacloudapi.cn;DefaultEndpointsProtocol=https",
    "endpoint": f"BlobEndpoint=https://blobs.example;AccountName=acct;AccountKey={FAKE_KEY};",
    "emulator": f"DefaultEndpointsProtocol=http;AccountName=acct;AccountKey={FAKE_KEY};"
    "BlobEndpoint=http://127.0.0.1:10000/acct;QueueEndpoint=http://127.0.0.1:10001/acct;",
    "sas": "BlobEndpoint=https://acct.blob.core.windows.net;SharedAccessSignature=sv=2022-11-02&sig=fake%3D",
    "cases": f"accountname=acct;ACCOUNTKEY={FAKE_KEY};defaultendpointsprotocol=https;endpointsuffix=core.windows.net",
}


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_matches_the_sdk(text: str) -> None:
    """
    Endpoint and account match the SDK's.
    """
    with BlobServiceClient.from_connection_string(text) as client:
        url, account = client.url.partition("?")[0].rstrip("/"), client.credential

    ours = parse_connection_string(text)

    assert ours.endpoint is not None
    assert ours.endpoint.rstrip("/") == url
    if ours.key is not None:
        assert ours.account == account.account_name
        assert ours.key.reveal() == account.account_key
    else:
        assert ours.sas is not None
        assert ours.sas.reveal() == "sv=2022-11-02&sig=fake%3D"


def test_development_storage() -> None:
    """
    ``UseDevelopmentStorage`` stands for the emulator's public account.
    """
    ours = parse_connection_string("UseDevelopmentStorage=true")

    assert (ours.account, ours.endpoint) == (DEVELOPMENT_ACCOUNT, f"http://127.0.0.1:10000/{DEVELOPMENT_ACCOUNT}")
    assert ours.key is not None
    assert ours.key.reveal() == DEVELOPMENT_KEY


@pytest.mark.parametrize("machine", ["http://azurite", "http://azurite/", "http://azurite:8888"])
def test_development_storage_on_another_machine(machine: str) -> None:
    """
    ``DevelopmentStorageProxyUri`` names the machine of the emulator, whose port is the usual one.
    """
    ours = parse_connection_string(f"UseDevelopmentStorage=true;DevelopmentStorageProxyUri={machine}")

    assert ours.endpoint == f"http://azurite:10000/{DEVELOPMENT_ACCOUNT}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fake-secret",
        f"AccountKey={FAKE_KEY}",
        "AccountName=acct;AccountKye=fake-secret",
        "AccountName=Not An Account",
        "AccountName=acct;DefaultEndpointsProtocol=ftp",
        "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=fake-secret",
    ],
)
def test_invalid_string(text: str) -> None:
    """
    An invalid connection string is rejected, and the error does not show its values.
    """
    with pytest.raises(ConfigurationError) as failure:
        parse_connection_string(text)

    assert "fake-secret" not in str(failure.value)
    assert FAKE_KEY not in str(failure.value)


def test_repr_has_no_secrets() -> None:
    """
    The repr of a parsed string contains neither key nor SAS token.
    """
    assert FAKE_KEY not in repr(parse_connection_string(STRINGS["portal"]))
    assert "fake%3D" not in repr(parse_connection_string(STRINGS["sas"]))


@pytest.mark.parametrize(
    ("host", "path", "account"),
    [
        ("acct.blob.core.windows.net", "", "acct"),
        ("acct-secondary.blob.core.windows.net", "", "acct"),
        ("acct.z6.blob.storage.azure.net", "", "acct"),
        ("acct.blob.core.usgovcloudapi.net:443", "", "acct"),
        ("127.0.0.1:10000", "/acct", "acct"),
        ("[::1]:10000", "/acct", "acct"),
        ("localhost:10000", "/acct", "acct"),
        ("10.1.2.3", "/acct", "acct"),
        ("127.0.0.1:10000", "", None),
        ("blobs.example", "", None),
        ("blobs.example", "/path", None),
    ],
)
def test_account_of_an_endpoint(host: str, path: str, account: str | None) -> None:
    """
    The account is found in every kind of address except custom domains.
    """
    assert account_of(host, path) == account


@pytest.mark.parametrize("suffix", ["core.windows.net/x", "a b", "", "x?sig=1"])
def test_invalid_suffix(suffix: str) -> None:
    """
    A suffix that is not a host name is rejected.
    """
    with pytest.raises(ConfigurationError):
        account_endpoint("acct", suffix)

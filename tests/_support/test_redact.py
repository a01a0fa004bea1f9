"""
Messages show nothing that looks like a secret, and lose nothing else.
"""

from __future__ import annotations

import pytest
from aiohttp import ClientResponseError, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asyncstore._support.redact import redact
from tests.auth.conftest import FAKE_SECRET


@pytest.mark.parametrize(
    "text",
    [
        "https://h/b/k?X-Amz-Signature={}&x=1",
        "https://h/b/k?x=1&x-amz-credential={}",
        "https://h/b/k?X-Amz-Security-Token={}",
        "https://h/b/k?AWSAccessKeyId=a&Signature={}",
        "https://h/c/k?sv=1&sig={}",
        "https://user:{}@h/b",
        "Authorization: Bearer {}",
        "authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature={}",
        "{{'Authorization': 'Bearer {}', 'X': 'y'}}",
        "('X-Amz-Security-Token', '{}')",
        "x-aws-ec2-metadata-token: {}",
        "'X-Amz-Security-Token': b'{}'",
        '{{"SecretAccessKey": "{}"}}',
        '{{"Token": "{}"}}',
        "<SecretAccessKey>{}</SecretAccessKey>",
        "<Token>{}</Token>",
        "aws_secret_access_key={}",
        "client_secret = {}",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
        "got ghp_{}",
        "got github_pat_{}",
        "got ghs_123_eyJ.{}.x, which ended",
        "got eyJ{}.x.y",
        "keyId=ST${}",
        "https://objectstorage/p/{}/n/ns/b/o",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=core.windows.net",
        "BlobEndpoint=https://h;SharedAccessSignature=sv=1&sig={}",
        "account_key='{}'",
        "https://h/upload/storage/v1/b/b/o?uploadType=resumable&upload_id={}",
        "x-goog-encryption-key: {}",
        "{{'X-Goog-Copy-Source-Encryption-Key': '{}'}}",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    """
    Secrets are masked in URLs, headers, documents and key files.
    """
    assert FAKE_SECRET not in redact(text.format(FAKE_SECRET))


@pytest.mark.parametrize(
    "text",
    [
        "https://store.example/bucket/some/key?list-type=2&prefix=signature",
        "Error loading SSO Token: Token for corp does not exist",
        "the token expired: ask for another",
        "http://127.0.0.1:9000/bucket: 503 SlowDown",
        "",
    ],
)
def test_the_rest_stays(text: str) -> None:
    """
    Everything needed to understand an error stays.
    """
    assert redact(text) == text


def test_parts_around_a_secret_stay() -> None:
    """
    Only the value is masked.
    """
    assert redact("https://h/k?a=1&sig=fake&b=2#f") == "https://h/k?a=1&sig=***&b=2#f"


def test_error_of_the_http_client() -> None:
    """
    aiohttp's own error holds the request's headers and URL.
    """
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {FAKE_SECRET}"}))
    url = URL(f"https://h/k?X-Amz-Signature={FAKE_SECRET}")
    error = ClientResponseError(RequestInfo(url, "GET", headers, url), (), status=403)

    assert FAKE_SECRET in repr(error)
    assert FAKE_SECRET not in redact(repr(error)) + redact(error)

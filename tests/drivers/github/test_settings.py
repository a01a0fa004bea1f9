"""
Settings of the GitHub driver.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from asyncstore import open_storage
from asyncstore.errors import ConfigurationError
from asyncstore.options import MiB
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from tests.servers.tls import ThrowawayCA

ROOT = "github://octocat/hello"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"draft": "perhaps"}, "perhaps"),
        ({"base_url": "https://a.example", "endpoint_url": "https://a.example"}, "not both"),
        ({"endpoint_url": "http://git.example/api/v3", "token": "fake"}, "unencrypted"),
        ({"endpoint_url": "git.example"}, "https://host"),
        ({"token": "fake", "anonymous": True}, "leave out"),
        ({"auth_type": "magic"}, "'magic'. It has default, token, environment, app"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], words: str) -> None:
    """Invalid settings are refused when the storage is opened; the error says what is valid."""
    with pytest.raises(ConfigurationError, match=words):
        open_storage(ROOT, **settings)


@pytest.mark.parametrize("name", ["base_url", "endpoint_url"])
async def test_enterprise(name: str) -> None:
    """An Enterprise server is configured by the URL of its API."""
    async with GitHubServer(base_path="/api/v3") as server:
        settings: dict[str, Any] = {name: server.api_url + "/", "token": FAKE_TOKEN}
        async with open_storage(f"{ROOT}/releases/v1/", create_release=True, **settings) as storage:
            await storage.put(storage.root / "a.txt", b"data")
            assert await storage.read(storage.root / "a.txt") == b"data"
            assert storage.describe()["endpoint"] == server.api_url
        assert all(item.path.startswith("/api/") for item in server.requests)


def test_default_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default endpoint is github.com, or the one that GitHub Actions sets."""
    monkeypatch.delenv("GITHUB_API_URL", raising=False)
    assert open_storage(ROOT).describe()["endpoint"] == "https://api.github.com"
    monkeypatch.setenv("GITHUB_API_URL", "https://git.example/api/v3")
    assert open_storage(ROOT).describe()["endpoint"] == "https://git.example/api/v3"


def test_settings_as_text() -> None:
    """Settings can be text, as in files and on command lines."""
    text: dict[str, Any] = {"create_release": "yes", "draft": "true", "prerelease": "0", "target_commitish": "main"}
    storage = open_storage(ROOT, **text)

    assert storage.provider == "github"


async def test_over_tls(tls_ca: ThrowawayCA) -> None:
    """``ca_file`` applies to the API and to the asset host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    async with GitHubServer(tls=context) as server:
        settings: dict[str, Any] = {"endpoint_url": server.api_url, "token": FAKE_TOKEN, "create_release": True}
        async with open_storage(f"{ROOT}/releases/v1/", ca_file=tls_ca.ca_file, **settings) as storage:
            await storage.put(storage.root / "a.bin", payload(MiB))
            assert await storage.read(storage.root / "a.bin") == payload(MiB)
        assert server.assets.url.startswith("https:")
        assert len(server.assets.requests) == 1

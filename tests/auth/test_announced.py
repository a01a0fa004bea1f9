"""
Credentials that another package registers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from asyncstore import AuthConfig, ConfigurationError, connect_auth
from tests.cli.shell import invoke, records

_MODULE = """
from asyncstore.auth.credentials import Credentials, Grant, Lease, Secret
from asyncstore.auth.methods import AuthMethod, Setting

PASS = AuthMethod("pass", "a pass", "https://lab.example/passes", (Setting("number", "of the pass", ("LAB_PASS",)),))


class LabCredentials(Credentials[Secret]):
    provider = "lab"
    auth_type = "pass"
    source = "the lab"

    def __init__(self, settings):
        self._settings = settings

    def current(self):
        return Lease(Secret("FAKE-pass"))

    async def get(self):
        return self.current()

    def setting_sources(self):
        return self._settings.sources()

    def apply(self, request, lease, clock_offset, scope):
        request.headers["X-Pass"] = lease.value.reveal()


def lab_credentials(auth=None, settings=None, *, http=None):
    return LabCredentials(PASS.bind(auth.settings))
"""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    A package, installed as pip would do it, that registers credentials for ``lab``.
    """
    site = tmp_path / "site"
    facts = site / "lab_storage-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-storage\nVersion: 1.0\n", "utf-8")
    (facts / "entry_points.txt").write_text("[asyncstore.auth]\nlab = lab_storage:lab_credentials\n", "utf-8")
    (site / "lab_storage.py").write_text(_MODULE, "utf-8")
    monkeypatch.syspath_prepend(str(site))
    invalidate_caches()
    yield
    sys.modules.pop("lab_storage", None)


async def test_registered_credentials_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    They are found by their registered name, and read their own settings.
    """
    monkeypatch.setenv("LAB_PASS", "7")
    async with connect_auth(AuthConfig(provider="lab")) as credentials:
        assert (credentials.provider, credentials.source) == ("lab", "the lab")
        assert credentials.setting_sources() == {"number": "LAB_PASS"}

    with pytest.raises(ConfigurationError, match="takes no size; it takes number"):
        await connect_auth(AuthConfig(provider="lab", settings={"size": 1}))


async def test_unknown_provider_lists_them() -> None:
    """
    The error for an unknown provider lists this one too.
    """
    with pytest.raises(ConfigurationError, match=r"no credentials for provider 'lap': known are \[.*'lab'.*'s3'"):
        await connect_auth(AuthConfig(provider="lap"))


def test_whoami_shows_them() -> None:
    """
    ``asyncstore auth whoami`` shows them like built-in ones.
    """
    result = invoke("auth", "whoami", "lab", "--set", "number=7", "--json")

    assert result.exit_code == 0, result.output
    found = records(result.stdout)[0]
    assert (found["provider"], found["method"], found["settings"]) == ("lab", "pass", {"number": "settings"})
    assert "FAKE-pass" not in result.output

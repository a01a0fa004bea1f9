"""
Regions and the domains of their realms.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncstore.auth.oci.regions import canonical_region, find_domain, known_domain
from asyncstore.errors import ConfigurationError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OCI_REGION_METADATA", "OCI_DEFAULT_REALM"):
        monkeypatch.delenv(name, raising=False)


def described(region: str, domain: str) -> dict[str, str]:
    return {"realmKey": "OC99", "realmDomainComponent": domain, "regionKey": "TST", "regionIdentifier": region}


def test_table_matches_the_sdk() -> None:
    """
    The table matches the SDK's regions, keys and realms.
    """
    from oci.regions_definitions import REALMS, REGION_REALMS, REGIONS_SHORT_NAMES

    assert {region: known_domain(region) for region in REGION_REALMS} == {
        region: REALMS[realm] for region, realm in REGION_REALMS.items()
    }
    assert {code: canonical_region(code.upper()) for code in REGIONS_SHORT_NAMES} == REGIONS_SHORT_NAMES


def test_unknown_region_is_commercial() -> None:
    """
    A region that is not in the table is assumed to be in the commercial realm.
    """
    assert known_domain("xx-new-1") is None
    assert find_domain("xx-new-1") == "oraclecloud.com"


def test_described_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``OCI_REGION_METADATA`` describes one region, ``OCI_DEFAULT_REALM`` the realm of all unknown ones.
    """
    monkeypatch.setenv("OCI_REGION_METADATA", json.dumps(described("xx-one-1", "one.example")))
    monkeypatch.setenv("OCI_DEFAULT_REALM", "other.example")

    assert find_domain("xx-one-1") == "one.example"
    assert find_domain("xx-two-1") == "other.example"
    assert find_domain("us-ashburn-1") == "oraclecloud.com"


def test_described_by_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The regions file precedes the environment.
    """
    (tmp_path / ".oci").mkdir()
    regions = [described("xx-one-1", "file.example"), described("xx-two-1", "two.example")]
    (tmp_path / ".oci" / "regions-config.json").write_text(json.dumps(regions))
    monkeypatch.setenv("OCI_REGION_METADATA", json.dumps(described("xx-one-1", "environment.example")))

    assert find_domain("xx-one-1") == "file.example"
    assert find_domain("xx-two-1") == "two.example"


@pytest.mark.parametrize("text", ["{", "[1]", '"text"'])
def test_malformed_description(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """
    The error for a malformed description names its source.
    """
    monkeypatch.setenv("OCI_REGION_METADATA", text)

    with pytest.raises(ConfigurationError, match="OCI_REGION_METADATA"):
        find_domain("xx-one-1")


@pytest.mark.parametrize("domain", ["evil.example/path", "a b", "user@host.example", "nodots"])
def test_invalid_domain(monkeypatch: pytest.MonkeyPatch, domain: str) -> None:
    """
    An invalid domain is rejected, so that it cannot redirect requests.
    """
    monkeypatch.setenv("OCI_DEFAULT_REALM", domain)

    with pytest.raises(ConfigurationError, match="is not valid"):
        find_domain("xx-one-1")


@pytest.mark.parametrize("region", ["", "us/ashburn", "a.example", "1x", "us ashburn"])
def test_invalid_region(region: str) -> None:
    """
    A region that is not valid in a host name is rejected.
    """
    with pytest.raises(ConfigurationError, match="is not a region name"):
        canonical_region(region)

"""
Which certificates AWS's methods trust.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from asyncstore import HTTPOptions
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, UnavailableError
from tests.servers.identity.aws import KEYS, ROLE, SOURCE, SOURCE_SETTINGS, Service, serving, write_profiles
from tests.servers.tls import ThrowawayCA


@pytest.fixture(params=["assume_role", "profile"])
def settings(request: pytest.FixtureRequest, aws_files: Path) -> dict[str, Any]:
    """
    A role from settings, and one from a profile.
    """
    if request.param == "assume_role":
        return {"role_arn": ROLE, **SOURCE_SETTINGS}
    write_profiles(
        aws_files,
        f"[profile base]\naws_access_key_id={SOURCE.access_key_id}\naws_secret_access_key={SOURCE.secret_access_key}\n"
        f"[profile role]\nrole_arn={ROLE}\nsource_profile=base\n",
    )
    return {"profile": "role"}


async def test_authority_that_is_set_is_trusted(
    settings: dict[str, Any], tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A certificate of a configured authority is trusted.
    """
    async with serving(Service(), tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings, http=HTTPOptions(ca_file=tls_ca.ca_file)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_unknown_authority_is_refused(
    settings: dict[str, Any], tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Otherwise the service receives no request.
    """
    service = Service()
    async with serving(service, tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings) as credentials:
            with pytest.raises(UnavailableError):
                await credentials.get()
    assert service.calls == []


async def test_verification_can_be_disabled(
    settings: dict[str, Any], tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    For tests any certificate can be accepted.
    """
    async with serving(Service(), tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings, http=HTTPOptions(verify=False)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_ssl_context(tls_ca: ThrowawayCA) -> None:
    """
    An SSL context decides itself what is trusted.
    """
    context = ssl.create_default_context(cafile=tls_ca.ca_file)
    async with serving(Service(), tls_ca) as url:
        role = {"role_arn": ROLE, **SOURCE_SETTINGS, "sts_endpoint": url}
        async with aws_credentials(None, role, http=HTTPOptions(ssl_context=context)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_missing_ca_file(tmp_path: Path) -> None:
    """
    The error names a missing file.
    """
    role = {"role_arn": ROLE, **SOURCE_SETTINGS, "sts_endpoint": "https://127.0.0.1:9"}
    async with aws_credentials(None, role, http=HTTPOptions(ca_file=tmp_path / "none.pem")) as credentials:
        with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read"):
            await credentials.get()

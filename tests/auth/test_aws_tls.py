"""
Whom AWS's methods trust where they ask for keys.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from asyncstore import HTTPOptions
from asyncstore.auth.aws import aws_credentials
from asyncstore.errors import ConfigurationError, UnavailableError
from tests.auth.aws_service import KEYS, ROLE, SOURCE, SOURCE_SETTINGS, Service, serving, write_profiles
from tests.servers.tls import ThrowawayCA


@pytest.fixture(params=["assume_role", "profile"])
def settings(request: pytest.FixtureRequest, aws_files: Path) -> dict[str, Any]:
    """
    A role by our own requests, and by those of the SDK.
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
    A service with a certificate of an authority of one's own is asked if that is named.
    """
    async with serving(Service(), tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings, http=HTTPOptions(ca_file=tls_ca.ca_file)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_unknown_authority_is_refused(
    settings: dict[str, Any], tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without that it sees no request.
    """
    service = Service()
    async with serving(service, tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings) as credentials:
            with pytest.raises(UnavailableError):
                await credentials.get()
    assert service.calls == []


async def test_nobody_checks_if_that_is_set(
    settings: dict[str, Any], tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    For tests any certificate can be taken.
    """
    async with serving(Service(), tls_ca) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        async with aws_credentials(None, settings, http=HTTPOptions(verify=False)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_context_of_the_callers_own(tls_ca: ThrowawayCA) -> None:
    """
    A context decides itself what is trusted.
    """
    context = ssl.create_default_context(cafile=tls_ca.ca_file)
    async with serving(Service(), tls_ca) as url:
        role = {"role_arn": ROLE, **SOURCE_SETTINGS, "sts_endpoint": url}
        async with aws_credentials(None, role, http=HTTPOptions(ssl_context=context)) as credentials:
            assert (await credentials.get()).value == KEYS


async def test_authority_that_cannot_be_read(tmp_path: Path) -> None:
    """
    A file that is not there is named.
    """
    role = {"role_arn": ROLE, **SOURCE_SETTINGS, "sts_endpoint": "https://127.0.0.1:9"}
    async with aws_credentials(None, role, http=HTTPOptions(ca_file=tmp_path / "none.pem")) as credentials:
        with pytest.raises(ConfigurationError, match=r"none\.pem cannot be read"):
            await credentials.get()

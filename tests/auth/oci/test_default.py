"""
The default chain of OCI: variables, profile, and principals of the machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncstore.auth.oci.credentials import OCICredentials, oci_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, StorageError
from tests.auth.oci.methods import DELEGATION, by_service, clear, in_cluster, oci, write
from tests.servers.identity.oci import REGION, Service, cluster, pem_of, serving, token


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for who in ("leaf", "resource", "user", "authority", "intermediate"):
        pem_of(who)
    clear(monkeypatch, tmp_path)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with serving(service) as url:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
        yield url


async def found(credentials: OCICredentials) -> str:
    """Return the source of the keys, or the error; an instance fails, since its token service is remote."""
    async with credentials:
        try:
            await credentials.get()
        except StorageError as error:
            return error.message
    return credentials.source


async def test_profile_takes_precedence(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A profile precedes the principals of the machine.
    """
    by_service(url, monkeypatch, tmp_path)
    key = write(tmp_path / "key.pem", pem_of("user"))
    profile = f"[DEFAULT]\ntenancy=t\nuser=u\nfingerprint=f\nregion=eu-frankfurt-1\nkey_file={key}\n"
    (tmp_path / ".oci").mkdir()
    write(tmp_path / ".oci" / "config", profile)
    credentials = oci_credentials()

    assert "profile 'DEFAULT'" in await found(credentials)


async def test_broken_profile_is_reported(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    An incomplete profile stops the chain: it must not continue with another identity.
    """
    by_service(url, monkeypatch, tmp_path)
    (tmp_path / ".oci").mkdir()
    write(tmp_path / ".oci" / "config", "[DEFAULT]\ntenancy=t\n")

    assert "neither key_file nor key_content" in await found(oci_credentials())


async def test_resource_precedes_the_instance(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A resource principal precedes the instance principal, and is used for every refresh.
    """
    by_service(url, monkeypatch, tmp_path)
    async with oci_credentials() as credentials:
        assert await credentials.region() == REGION
        await credentials.refresh(await credentials.get())

        assert credentials.source == "resource_principal: the resource's principal"
    assert not any(one.path.startswith("/opc") for one in service.seen)


async def test_pod_with_workload_identity(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A pod with the version of a resource principal but without its token uses workload identity.
    """
    async with serving(service, cluster()[1]) as url:
        in_cluster(url, monkeypatch, tmp_path)
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")

        # It fails at the token file, which exists in real pods only.
        assert "the token of the service account" in await found(oci_credentials())


async def test_pod_without_workload_identity(service: Service, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A pod without a region for workload identity uses the instance principal.
    """
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("OCI_CLI_AUTH", "")
    service.region = "no region"

    await found(oci_credentials())

    assert service.seen[0].path == "/opc/v2/identity/cert.pem"


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("resource_principal", "resource_principal: the resource's principal"),
        ("instance_obo_user", "the environment has no complete OCI identity"),
        ("api_key", "the environment has no complete OCI identity"),
        ("oke_workload_identity", "KUBERNETES_SERVICE_HOST is not set"),
        ("nonsense", "OCI_CLI_AUTH names an unknown method 'nonsense'; known: OCIInstancePrincipal"),
    ],
)
async def test_method_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, source: str
) -> None:
    """
    If ``OCI_CLI_AUTH`` is set, only that method is tried, as in Oracle's CLI.
    """
    by_service(url, monkeypatch, tmp_path)
    monkeypatch.setenv("OCI_CLI_AUTH", value)

    assert source in await found(oci_credentials())


@pytest.mark.parametrize("value", ["", "instance_obo_user"])
async def test_profile_of_cloud_shell(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    """
    A profile can select the instance principal, acting on behalf of the user whose token is in a file.
    """
    file = write(tmp_path / "delegation", DELEGATION)
    lines = f"[DEFAULT]\nauthentication_type=instance_principal\ndelegation_token_file={file}\nregion=eu-paris-1\n"
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", str(write(tmp_path / "config", lines)))
    monkeypatch.setenv("OCI_CLI_AUTH", value)
    service.region = "no region"

    # It got as far as the token service, whose address needs a valid region.
    assert "returned no region" in await found(oci_credentials())
    assert service.seen[0].path == "/opc/v2/identity/cert.pem"


async def test_delegation_token_is_read_first(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Without the user's token no instance token is requested: it would act as the instance itself.
    """
    lines = f"[DEFAULT]\nauthentication_type=instance_principal\ndelegation_token_file={tmp_path}/missing\n"
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", str(write(tmp_path / "config", lines)))

    assert "the delegation token" in await found(oci_credentials())
    assert service.seen == []


async def test_fallback_to_the_instance(service: Service, url: str, tmp_path: Path) -> None:
    """
    The fallback of an expired session is used.
    """
    key, ended = write(tmp_path / "key.pem", pem_of("user")), write(tmp_path / "token", token(-5))
    session = {"key_file": str(key), "security_token_file": str(ended), "tenancy": "t"}
    then = oci("instance_principal", federation_endpoint=f"{url}/v1/x509")
    auth = AuthConfig(provider="oci", auth_type="session_token", settings=session, fallback=then)
    async with oci_credentials(auth) as credentials:
        lease = await credentials.get()

        assert lease.value is not None
        assert lease.value.key_id in service.keys
        assert credentials.auth_type == "instance_principal"
        assert await credentials.region() == REGION


def test_fallbacks_in_a_circle() -> None:
    """
    A circle of fallbacks is an error that shows the circle.
    """
    again = AuthConfig(auth_type="instance_principal")
    auth = AuthConfig(
        auth_type="resource_principal", fallback=AuthConfig(auth_type="instance_principal", fallback=again)
    )

    with pytest.raises(ConfigurationError, match="resource_principal -> instance_principal -> instance_principal"):
        oci_credentials(auth)

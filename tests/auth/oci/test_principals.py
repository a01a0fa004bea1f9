"""
OCI principals: their requests, and how replies are handled.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from yarl import URL

from asyncstore.auth.credentials import Secret
from asyncstore.auth.oci import metadata as oci_metadata
from asyncstore.auth.oci.credentials import OCICredentials, OCIKeys, oci_credentials
from asyncstore.auth.oci.delegation import with_delegation
from asyncstore.auth.oci.instance import Certificate
from asyncstore.auth.tokens import Grant
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.testing.servers.oci.signature import check_signature
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.auth.oci.methods import CASES, DELEGATION, InFiles, by_service, clear, in_cluster, oci, write
from tests.servers.identity.oci import (
    ACCOUNT_TOKEN,
    REGION,
    RESOURCE,
    TENANCY,
    Service,
    certificate,
    cluster,
    key_of,
    pem_of,
    serving,
    token,
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for who in ("leaf", "resource", "user", "authority", "intermediate"):
        pem_of(who)
    clear(monkeypatch, tmp_path)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> Any:
    async with serving(service) as url:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
        yield url


async def keys_of(credentials: OCICredentials) -> OCIKeys:
    async with credentials:
        keys = (await credentials.get()).value
    assert keys is not None
    return keys


def instance(url: str, **settings: Any) -> AuthConfig:
    return oci("instance_principal", federation_endpoint=f"{url}/v1/x509", **settings)


async def test_instance_principal(service: Service, url: str) -> None:
    """
    Each lease has its own key, which its token is issued for, and is refreshed at half of its lifetime.
    """
    async with oci_credentials(instance(url)) as credentials:
        first = await credentials.get()
        second = await credentials.refresh(first)

        assert first.value is not None
        assert second.value is not None
        assert first.value != second.value
        assert service.keys[first.value.key_id] == first.value.private_key.public_key()
        assert service.keys[second.value.key_id] == second.value.private_key.public_key()
        assert second.refresh_at == pytest.approx(time.monotonic() + 1800, abs=10)
        assert await credentials.region() == REGION
    federation = next(one for one in service.seen if one.path == "/v1/x509")
    assert federation.names == ("date", "(request-target)", "content-length", "content-type", "x-content-sha256")


async def test_clock_skew(service: Service, url: str) -> None:
    """
    A request rejected for clock skew is sent again with the service's time; the lease has its full length.
    """
    service.clock_offset = 1000
    async with oci_credentials(instance(url)) as credentials:
        lease = await credentials.get()
        await credentials.refresh(lease)

    assert lease.ends_at == pytest.approx(time.monotonic() + 3600, abs=10)
    assert service.count("POST", "/v1/x509") == 3


async def test_new_region(service: Service, url: str) -> None:
    """
    For a region that is not in the table, the instance knows the realm.
    """
    service.region = "xx-newtown-1"
    service.region_info = {"realmDomainComponent": "oraclecloud99.com", "regionIdentifier": "xx-newtown-1"}
    async with oci_credentials(instance(url)) as credentials:
        assert await credentials.region() == "xx-newtown-1"
        assert await credentials.domain("xx-newtown-1") == "oraclecloud99.com"
        assert await credentials.domain("yy-other-1") == "oraclecloud.com"
        assert await credentials.domain("eu-madrid-2") == "oraclecloud.eu"


@pytest.mark.parametrize(
    ("settings", "region", "place"),
    [
        ({}, None, "auth.us-phoenix-1.oraclecloud.com:443"),
        ({}, "eu-madrid-2", "auth.eu-madrid-2.oraclecloud.eu:443"),
        ({"federation_endpoint": "https://auth.example/v1/x509"}, None, "auth.example:443"),
    ],
)
async def test_token_service_address(url: str, settings: dict[str, Any], region: str | None, place: str) -> None:
    """
    The token service is that of the region, over TLS and the proxy; the metadata service bypasses the proxy.
    """
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        auth = AuthConfig(auth_type="instance_principal", settings=settings, region=region)
        async with oci_credentials(auth, http=HTTPOptions(proxy=f"http://127.0.0.1:{port}")) as credentials:
            with pytest.raises(UnavailableError, match="no answer from https://auth"):
                await credentials.get()

    assert asked == [f"CONNECT {place} HTTP/1.1\r\n"]


@pytest.mark.parametrize("kind", ["redirect", "endless"])
async def test_hostile_metadata_service(serve: Serve, kind: str) -> None:
    """
    Redirects are not followed, and long replies are rejected.
    """
    visits: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visits.append(request.path)
        return web.Response()

    other = await serve(elsewhere)

    async def answer(_: web.Request) -> web.StreamResponse:
        if kind == "redirect":
            return web.Response(status=302, headers={"Location": other})
        return web.Response(body=b"x" * 1_000_000)

    url = await serve(answer)
    with pytest.raises(UnavailableError, match=r"redirect|more than 65536 bytes"):
        await keys_of(oci_credentials(instance(url, metadata_url=url)))
    assert visits == []


async def test_second_address(service: Service, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the first address of the service does not answer, the second one is used from then on.
    """
    monkeypatch.delenv("OCI_METADATA_BASE_URL")
    monkeypatch.setattr(oci_metadata, "_ADDRESSES", ("http://127.0.0.1:1", url))
    keys = await keys_of(oci_credentials(instance(url)))
    assert keys.key_id in service.keys

    monkeypatch.setattr(oci_metadata, "_ADDRESSES", ("http://127.0.0.1:1", "http://127.0.0.1:2"))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1/opc/v2 or http://127.*not running on an OCI instance"):
        await keys_of(oci_credentials(instance(url)))


async def test_unsafe_metadata_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An address in the environment must not be plain HTTP to another host.
    """
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://192.0.2.1/opc/v2")

    with pytest.raises(ConfigurationError, match="metadata_url must be https, or http to"):
        await keys_of(oci_credentials(oci("instance_principal")))


async def test_other_clouds_metadata(serve: Serve) -> None:
    """
    If another cloud answers at this address, the method does not apply.
    """

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=401)

    url = await serve(answer)
    with pytest.raises(UnauthenticatedError, match="not running on an OCI instance"):
        await keys_of(oci_credentials(instance(url, metadata_url=url)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"text": "no JSON"}, "has no token"),
        ({"text": '{"token": "no-token"}'}, "a malformed session token"),
        (
            {"text": '{"code": "InternalError", "message": "Oh"}', "status": 500},
            r"refused to issue a session token: Oh \(500 InternalError",
        ),
    ],
)
async def test_replies_without_a_token(service: Service, url: str, answer: dict[str, Any], message: str) -> None:
    """
    A reply without a usable token is a retryable error.
    """
    service.answer = web.Response(**answer)

    with pytest.raises(UnavailableError, match=message):
        await keys_of(oci_credentials(instance(url)))


@pytest.mark.parametrize("text", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n"])
async def test_invalid_certificate(service: Service, url: str, text: str) -> None:
    """
    A reply without a usable certificate is a retryable error.
    """
    service.metadata["identity/cert.pem"] = text

    with pytest.raises(UnavailableError, match="returned no certificate"):
        await keys_of(oci_credentials(instance(url)))


async def test_without_intermediates(service: Service, url: str) -> None:
    """
    An instance can have no intermediate certificates.
    """
    service.metadata["identity/intermediate.pem"] = None

    assert (await keys_of(oci_credentials(instance(url)))).key_id in service.keys


@pytest.mark.parametrize("unit", [f"opc-tenant:{TENANCY}", f"opc-identity:{TENANCY}"])
def test_certificate(unit: str) -> None:
    """
    The tenancy is found in both forms of the subject.
    """
    made = certificate("leaf", "authority", unit=unit)

    read = Certificate(made.public_bytes(serialization.Encoding.DER))

    assert read.tenancy == TENANCY


def test_certificate_without_a_tenancy() -> None:
    """
    A certificate without a tenancy is rejected.
    """
    made = certificate("leaf", "authority", unit="opc-tenant:somebody")

    with pytest.raises(UnavailableError, match="does not contain a tenancy"):
        _ = Certificate(made.public_bytes(serialization.Encoding.DER)).tenancy


async def test_resource_principal_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Token, key and region can be in variables.
    """
    own = token(3600)
    for name, value in {"VERSION": "2.2", "RPST": own, "PRIVATE_PEM": pem_of("user"), "REGION": "fra"}.items():
        monkeypatch.setenv(f"OCI_RESOURCE_PRINCIPAL_{name}", value)
    credentials = oci_credentials(AuthConfig(auth_type="OCIResourcePrincipal"))

    assert (await keys_of(credentials)).key_id == f"ST${own}"
    assert await credentials.region() == "fra"
    assert credentials.setting_sources()["session_token"] == "OCI_RESOURCE_PRINCIPAL_RPST"


async def test_resource_principal_with_a_passphrase(tmp_path: Path) -> None:
    """
    Key and passphrase can be in files.
    """
    closed = key_of("user").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"fake")
    )
    settings = {
        "session_token": Secret(token(3600)),
        "private_key": str(write(tmp_path / "key.pem", closed.decode())),
        "pass_phrase": str(write(tmp_path / "phrase", "fake\n")),
    }

    assert (await keys_of(oci_credentials(settings=settings))).private_key.public_key() == key_of("user").public_key()


@pytest.mark.parametrize("name", ["resource_principal", "session_token"])
async def test_files_are_read_again(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A token file is read again after a minute, and at once if the token is rejected.
    """
    async with CASES[name].start(monkeypatch, tmp_path) as running, oci_credentials(running.auth) as credentials:
        assert isinstance(running, InFiles)
        first = await credentials.get()
        second = await credentials.refresh(first)

        assert first.refresh_at == pytest.approx(time.monotonic() + 60, abs=5)
        assert first.expires_at == pytest.approx(time.monotonic() + 3540, abs=5)
        assert first.value != second.value


@pytest.mark.parametrize(
    ("version", "rpt_path", "path"),
    [
        ("2.1", None, f"/20180711/resourcePrincipalTokenV2/{RESOURCE}"),
        ("2.1.1", "/ignored", f"/20180711/resourcePrincipalTokenV2/{RESOURCE}"),
        ("2.1.2", None, f"/20180711/resourcePrincipalTokenV212/{RESOURCE}"),
        ("2.1.2", "/own/{}", f"/own/{RESOURCE}"),
        ("2.1.2", "/own", f"/own/{RESOURCE}"),
    ],
)
async def test_resource_principal_by_services(
    service: Service,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    version: str,
    rpt_path: str | None,
    path: str,
) -> None:
    """
    The key id has version and resource; only version 2.1.2 uses its own path and security context.
    """
    auth = by_service(url, monkeypatch, tmp_path)
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", version)
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT", "fake-context")
    if rpt_path is not None:
        monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPT_PATH", rpt_path)
    service.security_context = "fake-context" if version == "2.1.2" else None

    keys = await keys_of(oci_credentials(auth))

    whose = RESOURCE if version == "2.1" else f"{TENANCY}/{RESOURCE}"
    assert [(one.method, one.path, one.key_id) for one in service.seen] == [
        ("GET", path, f"resource/v{version}/{whose}"),
        ("POST", "/v1/resourcePrincipalSessionToken", f"resource/v{version}/{whose}"),
    ]
    assert keys.private_key.public_key() == key_of("resource").public_key()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "OCI_RESOURCE_PRINCIPAL_VERSION is not set"),
        (
            {"resource_principal_version": "2.2"},
            "2.2 needs OCI_RESOURCE_PRINCIPAL_RPST or session_token in the settings",
        ),
        (
            {"resource_principal_version": "2.1.1", "rpt_endpoint": "https://a"},
            "RPST_ENDPOINT.*RESOURCE_ID.*TENANCY_ID",
        ),
        ({"session_token": token(-5), "private_key": "key"}, "has expired"),
        ({"session_token": "no\ntoken", "private_key": "key"}, "is malformed"),
    ],
)
async def test_incomplete_resource_principal(settings: dict[str, Any], message: str) -> None:
    """
    The error names the missing variables and settings.
    """
    settings = {name: pem_of("user") if value == "key" else value for name, value in settings.items()}
    with pytest.raises(StorageError, match=message) as caught:
        await keys_of(oci_credentials(oci("resource_principal", **settings)))
    assert FAKE_TOKEN not in str(caught.value)


async def in_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, **settings: Any) -> OCIKeys:
    async with serving(service, cluster()[1]) as url:
        auth = in_cluster(url, monkeypatch, tmp_path)
        credentials = oci_credentials(oci("oke_workload_identity", **{**auth.settings, **settings}))
        assert await credentials.region() == REGION
        return await keys_of(credentials)


async def test_workload_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service) -> None:
    """
    The service account's token is sent to the cluster; the prefix of the cluster's token is removed.
    """
    keys = await in_a_cluster(monkeypatch, tmp_path, service)

    assert service.keys[keys.key_id] == keys.private_key.public_key()
    assert not keys.key_id.startswith("ST$ST$")


@pytest.mark.parametrize("given", [ACCOUNT_TOKEN, Secret(ACCOUNT_TOKEN), lambda: ACCOUNT_TOKEN])
async def test_service_account_token_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, given: Any
) -> None:
    """
    The service account's token can be a setting.
    """
    settings = {"service_account_token": given, "service_account_token_file": "/nowhere"}

    keys = await in_a_cluster(monkeypatch, tmp_path, service, **settings)

    assert keys.key_id in service.keys


async def test_workload_in_a_basic_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service) -> None:
    """
    The error says that an enhanced cluster is required.
    """
    service.status = 403

    with pytest.raises(UnauthenticatedError, match="requires an enhanced cluster") as caught:
        await in_a_cluster(monkeypatch, tmp_path, service)
    assert FAKE_TOKEN not in str(caught.value)


@pytest.mark.parametrize("text", ["no base64", "bm8gSlNPTg==", "e30=", "W10="])
async def test_cluster_without_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, text: str
) -> None:
    """
    A reply without a usable token is a retryable error.
    """
    service.answer = web.Response(text=text)

    with pytest.raises(UnavailableError, match="has no session token"):
        await in_a_cluster(monkeypatch, tmp_path, service)


async def test_untrusted_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service) -> None:
    """
    The service account's token is not sent to a server that the cluster's CA does not trust.
    """
    import trustme

    await asyncio.to_thread(trustme.CA().cert_pem.write_to_path, tmp_path / "other.crt")

    with pytest.raises(UnavailableError, match="certificate is not trusted"):
        await in_a_cluster(monkeypatch, tmp_path, service, service_account_cert_file=str(tmp_path / "other.crt"))
    assert service.seen == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"service_account_token": token(-5)}, "service account has expired"),
        ({"service_account_token": "no\ntoken"}, "service account is empty or malformed"),
        ({"service_account_token_file": "/nowhere"}, "the token of the service account /nowhere cannot be read"),
    ],
)
async def test_invalid_service_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service, settings: dict[str, Any], message: str
) -> None:
    """
    An invalid service account token is rejected before anything is sent.
    """
    with pytest.raises(StorageError, match=message):
        await in_a_cluster(monkeypatch, tmp_path, service, **settings)
    assert service.seen == []


@pytest.mark.parametrize("given", [DELEGATION, Secret(DELEGATION), lambda: DELEGATION])
async def test_delegation_over_an_instance(url: str, given: Any) -> None:
    """
    The lease has the keys of the instance and the user's token.
    """
    auth = AuthConfig(settings={"delegation_token": given, "federation_endpoint": f"{url}/v1/x509"})
    keys = await keys_of(oci_credentials(auth))

    assert keys.delegation_token == DELEGATION
    assert DELEGATION not in repr(keys)


async def test_delegation_over_a_resource(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A resource can act on behalf of a user too; the lease expires with the first of the two tokens.
    """
    by_service(url, monkeypatch, tmp_path)
    ending = token(1000)
    auth = oci("delegation_token", principal="resource_principal", delegation_token=ending)
    async with oci_credentials(auth) as credentials:
        lease = await credentials.get()

        assert lease.value is not None
        assert lease.value.delegation_token == ending
        assert lease.ends_at == pytest.approx(time.monotonic() + 1000, abs=5)
        assert lease.refresh_at == pytest.approx(time.monotonic() + 500, abs=5)
        assert await credentials.region() == REGION


@pytest.mark.parametrize(
    ("ttl", "early", "delegation", "ends", "renewed"),
    [
        (3600, 1800, None, 3600, 1800),
        (3600, 1800, 1000, 1000, 500),
        (3600, 1800, 9000, 3600, 1800),
        (3600, 3540, 1000, 1000, 60),
        (3600, None, 1000, 1000, None),
        (None, None, 1000, 1000, None),
        (None, None, None, None, None),
    ],
)
def test_lifetime_of_a_delegation(
    ttl: float | None, early: float | None, delegation: float | None, ends: float | None, renewed: float | None
) -> None:
    """
    The lease has the shorter lifetime of the two tokens, and its refresh time is never in the past.
    """
    keys = OCIKeys("ST$fake", key_of("user"))

    made = with_delegation(Grant(keys, ttl, early), DELEGATION if delegation is None else token(delegation))

    assert made.ttl == (None if ends is None else pytest.approx(ends, abs=2))
    after = None if made.ttl is None or made.early is None else made.ttl - made.early
    assert after == (None if renewed is None else pytest.approx(renewed, abs=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs delegation_token, delegation_token_file or OCI_CLI"),
        ({"delegation_token": "no\r\ntoken"}, "delegation token is malformed"),
        ({"delegation_token_file": "/nowhere"}, "the delegation token /nowhere cannot be read"),
    ],
)
async def test_invalid_delegation(service: Service, url: str, settings: dict[str, Any], message: str) -> None:
    """
    Without a valid user token no instance token is requested.
    """
    with pytest.raises(ConfigurationError, match=message):
        await keys_of(oci_credentials(oci("delegation_token", **settings)))
    assert service.seen == []


async def test_expired_delegation(url: str) -> None:
    """
    An expired user token is not sent.
    """
    auth = oci("delegation_token", delegation_token=token(-5), federation_endpoint=f"{url}/v1/x509")

    with pytest.raises(UnauthenticatedError, match="delegation token has expired"):
        await keys_of(oci_credentials(auth))


@pytest.mark.parametrize(
    ("auth_type", "settings", "message"),
    [
        (
            "delegation_token",
            {"principal": "anonymous"},
            "principal must be one of instance_principal, resource_principal",
        ),
        ("delegation_token", {"delegation_token": "a", "delegation_token_file": "b"}, "not both"),
        ("instance_principal", {"metadata_url": "http://192.0.2.1/opc/v2"}, "metadata_url must be https, or http to"),
        ("instance_principal", {"federation_endpoint": "http://192.0.2.1/v1/x509"}, "unencrypted"),
        ("instance_principal", {"profile": "LAB"}, "takes no profile; it takes metadata_url, federation_endpoint"),
        ("resource_principal", {"resource_principal_version": "1.1"}, "one of 2.2, 2.1, 2.1.1, 2.1.2"),
        ("resource_principal", {"rpt_endpoint": "http://192.0.2.1"}, "unencrypted"),
        ("oke_workload_identity", {"workload_identity_port": "high"}, "must be a port number, not 'high'"),
    ],
)
def test_invalid_settings(auth_type: str, settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected before anything is read or sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        oci_credentials(oci(auth_type, **settings))


@pytest.mark.parametrize(
    ("url", "region", "service"),
    [
        ("https://objectstorage.us-phoenix-1.oraclecloud.com/n", "us-phoenix-1", "objectstorage"),
        ("https://identity.eu-madrid-2.oci.oraclecloud.eu/", "eu-madrid-2", "identity"),
        ("https://iaas.xx-newtown-1.oraclecloud.com/", "xx-newtown-1", "iaas"),
        ("https://ns.objectstorage.us-ashburn-1.oci.customer-oci.com/n", "us-ashburn-1", "objectstorage"),
        # These hosts run customers' code.
        ("https://gateway.apigateway.us-ashburn-1.oci.customer-oci.com/", None, None),
        ("https://x.adb.us-ashburn-1.oraclecloudapps.com/", None, None),
        ("http://objectstorage.us-phoenix-1.oraclecloud.com/n", None, None),
        ("https://objectstorage.us-phoenix-1.oraclecloud.com:8443/n", None, None),
        ("https://objectstorage.us-phoenix-1.oraclecloud.com.evil.example/", None, None),
        ("https://evil.example/", None, None),
        ("https://oraclecloud.com/", None, None),
    ],
)
def test_scope(url: str, region: str | None, service: str | None) -> None:
    """
    Without origins, only requests to OCI services are signed.
    """
    scope = oci_credentials(oci("anonymous")).scope_of(URL(url))

    assert (scope and scope.region, scope and scope.service) == (region, service)


@pytest.mark.parametrize(
    ("endpoint", "ours"),
    [("https://storage.example", True), ("http://127.0.0.1:7", True), ("http://storage.example", False)],
)
def test_scope_of_a_configured_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str, ours: bool) -> None:
    """
    An endpoint in the environment is signed for too, unless it is plain HTTP on another host.
    """
    monkeypatch.setenv("OCI_CLI_ENDPOINT", endpoint)

    assert (oci_credentials(oci("anonymous")).scope_of(URL(f"{endpoint}/n")) is not None) == ours


async def test_redirect_elsewhere(url: str, serve: Serve) -> None:
    """
    A redirect to another origin carries neither signature nor delegation token.
    """
    seen: list[set[str]] = []

    async def other(request: web.Request) -> web.StreamResponse:
        seen.append({name.lower() for name in request.headers})
        return web.Response()

    elsewhere = await serve(other)

    async def ours(request: web.Request) -> web.StreamResponse:
        assert request.headers["opc-obo-token"] == DELEGATION
        return web.Response(status=302, headers={"Location": elsewhere})

    origin = await serve(ours)
    auth = oci("delegation_token", delegation_token=DELEGATION, federation_endpoint=f"{url}/v1/x509")
    async with (
        oci_credentials(auth) as credentials,
        credentials.http_client([origin]) as session,
        session.get(origin, allow_redirects=True) as reply,
    ):
        assert reply.status == 200

    assert len(seen) == 1
    assert not seen[0] & {"authorization", "opc-obo-token"}


async def test_documents_of_other_services(url: str, service: Service, serve: Serve) -> None:
    """
    For services other than Object Storage the body of a PUT is signed too.
    """

    async def identity(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        check_signature(request.method, request.raw_path, headers, service, time.time(), body_is_exempt=False)
        return web.Response()

    origin = await serve(identity)
    async with (
        oci_credentials(instance(url)) as credentials,
        credentials.http_client([origin], service="identity") as session,
        session.put(f"{origin}/20160918/users/1", data=b"{}", headers={"Content-Type": "application/json"}) as reply,
    ):
        assert reply.status == 200

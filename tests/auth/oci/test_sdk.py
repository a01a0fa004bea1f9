"""
Oracle's SDK: it validates the stand-in servers, and uses our credentials.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.oci.credentials import OCICredentials, oci_credentials
from asyncstore.auth.oci.signature import OCIKeys, sign_headers
from asyncstore.errors import NotSupportedError
from asyncstore.testing.servers.oci import OCIServer
from tests.auth.oci.methods import DELEGATION, by_service, clear, in_cluster, oci
from tests.servers.identity.oci import ACCOUNT_TOKEN, REGION, Service, cluster, key_of, pem_of, serving, token
from tests.servers.oci import user


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


def assert_accepted(service: Service, signer: Any) -> None:
    """Check that the SDK signs with a token that the server issued for the same key."""
    assert service.keys[signer.api_key] == signer.private_key.public_key()


async def test_instance_principal_of_the_sdk(service: Service, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The SDK sends the same request as we do.
    """
    from oci.auth.signers import InstancePrincipalsSecurityTokenSigner

    # Older versions do not read the address of the metadata service from the environment.
    for name, value in list(vars(InstancePrincipalsSecurityTokenSigner).items()):
        if isinstance(value, str) and value.startswith("http://169.254.169.254/opc/v2"):
            there = value.replace("http://169.254.169.254/opc/v2", os.environ["OCI_METADATA_BASE_URL"])
            monkeypatch.setattr(InstancePrincipalsSecurityTokenSigner, name, there)
    signer = await asyncio.to_thread(InstancePrincipalsSecurityTokenSigner, federation_endpoint=f"{url}/v1/x509")
    theirs = next(one for one in service.seen if one.path == "/v1/x509")
    async with oci_credentials(oci("instance_principal", federation_endpoint=f"{url}/v1/x509")) as credentials:
        await credentials.get()
    ours = service.seen[-1]

    assert_accepted(service, signer)
    assert signer.region == REGION
    assert (ours.names, ours.key_id) == (theirs.names, theirs.key_id)
    assert {**ours.document, "publicKey": ""} == {**theirs.document, "publicKey": ""}


@pytest.mark.parametrize("version", ["2.1", "2.1.1"])
async def test_resource_principal_of_the_sdk(
    service: Service, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    """
    The SDK sends the same requests as we do.
    """
    from oci.auth.signers import get_resource_principals_signer

    auth = by_service(url, monkeypatch, tmp_path)
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", version)
    signer = await asyncio.to_thread(get_resource_principals_signer)
    theirs, service.seen = service.seen, []
    async with oci_credentials(auth) as credentials:
        await credentials.get()

    assert_accepted(service, signer)
    assert [(one.method, one.path, one.key_id, one.document) for one in theirs] == [
        (one.method, one.path, one.key_id, one.document) for one in service.seen
    ]


async def test_workload_identity_of_the_sdk(service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The SDK sends the same request as we do.
    """
    from oci.auth.signers import OkeWorkloadIdentityResourcePrincipalSigner

    class Account:
        def get_sa_token(self) -> str:
            return ACCOUNT_TOKEN

    async with serving(service, cluster()[1]) as url:
        auth = in_cluster(url, monkeypatch, tmp_path)
        port = auth.settings["workload_identity_port"]
        signer = await asyncio.to_thread(
            OkeWorkloadIdentityResourcePrincipalSigner, Account(), str(tmp_path / "ca.crt"), "127.0.0.1", port, REGION
        )
        async with oci_credentials(auth) as credentials:
            await credentials.get()

    assert_accepted(service, signer)
    assert [(one.path, set(one.document)) for one in service.seen] == [
        ("/resourcePrincipalSessionTokens", {"podKey"})
    ] * 2


def signed_by_sdk(keys: OCIKeys, method: str, url: str, content: bytes | None, names: list[str]) -> dict[str, str]:
    from oci._vendor import requests
    from oci.auth.signers import SecurityTokenSigner

    headers = {"date": formatdate(1_790_000_000, usegmt=True)}
    if content is not None:
        headers |= {"content-type": "application/json", "content-length": str(len(content))}
    if keys.delegation_token is not None:
        headers["opc-obo-token"] = keys.delegation_token
    request = requests.Request(method, url, data=content, headers=headers).prepare()
    signer = SecurityTokenSigner(keys.key_id.removeprefix("ST$"), keys.private_key, generic_headers=names)
    signed = signer.do_request_sign(request, enforce_content_headers=content is not None)
    return {name.lower(): value for name, value in signed.headers.items()}


@pytest.mark.parametrize("content", [None, b'{"name": "b"}'])
@pytest.mark.parametrize("delegation", [None, DELEGATION])
def test_signature(content: bytes | None, delegation: str | None) -> None:
    """
    The signature with a delegation token matches the SDK's.
    """
    keys = OCIKeys(f"ST${token(60)}", key_of("user"), delegation)
    names = ["date", "(request-target)", "host", *(["opc-obo-token"] if delegation else [])]
    method = "GET" if content is None else "POST"

    ours = sign_headers(method, "/n/ns/b/", "h.example", keys=keys, when=1_790_000_000, content=content)
    theirs = signed_by_sdk(keys, method, "https://h.example/n/ns/b/", content, names)

    assert ours.items() <= theirs.items()


@pytest.fixture
async def storage_server(service: Service) -> AsyncIterator[OCIServer]:
    """
    Object Storage that accepts the tokens issued by the token server.
    """
    async with OCIServer(user()) as server:
        service.on_issue = lambda token, key, ends: server.store.add_token(token, key, expires=ends, user=user())
        server.create_bucket("bucket")
        yield server


def client_of(server: OCIServer, signer: Any) -> Any:
    from oci.object_storage import ObjectStorageClient
    from oci.retry import NoneRetryStrategy

    return ObjectStorageClient({}, signer=signer, service_endpoint=server.url, retry_strategy=NoneRetryStrategy())


async def test_for_oci(service: Service, url: str, storage_server: OCIServer) -> None:
    """
    An SDK client signs with our credentials, and gets new ones when they expire.
    """
    service.ttl = 1.0
    async with oci_credentials(oci("instance_principal", federation_endpoint=f"{url}/v1/x509")) as credentials:
        signer = await credentials.for_oci()
        client = await asyncio.to_thread(client_of, storage_server, signer)
        for _ in range(3):
            reply = await asyncio.to_thread(client.list_buckets, storage_server.store.namespace, "any")
            assert reply.status == 200
            await asyncio.sleep(1.1)
        client.base_client.session.close()

        assert service.count("POST", "/v1/x509") >= 3
        assert repr(signer) == "<Signer instance_principal>"


async def test_for_oci_from_many_threads(service: Service, url: str, storage_server: OCIServer) -> None:
    """
    Threads that find expired keys at the same moment refresh them once.
    """
    service.ttl = 0.4
    async with oci_credentials(oci("instance_principal", federation_endpoint=f"{url}/v1/x509")) as credentials:
        signer = await credentials.for_oci()
        await asyncio.sleep(0.5)
        service.ttl = 3600.0
        service.delay = 0.1
        client = await asyncio.to_thread(client_of, storage_server, signer)
        together = threading.Barrier(4)

        def namespace() -> str:
            together.wait(5)
            return str(client.get_namespace().data)

        async with asyncio.timeout(30):
            names = await asyncio.gather(*(asyncio.to_thread(namespace) for _ in range(4)))
        client.base_client.session.close()

    assert set(names) == {storage_server.store.namespace}
    assert service.count("POST", "/v1/x509") == 2


async def test_for_oci_delegates(service: Service, url: str, storage_server: OCIServer) -> None:
    """
    SDK requests carry the delegation token, and it is signed.
    """
    auth = oci("delegation_token", federation_endpoint=f"{url}/v1/x509", delegation_token=DELEGATION)
    async with oci_credentials(auth) as credentials:
        client = await asyncio.to_thread(client_of, storage_server, await credentials.for_oci())
        assert await asyncio.to_thread(lambda: client.get_namespace().status) == 200
        client.base_client.session.close()

    seen = storage_server.requests[-1]
    assert seen.headers["opc-obo-token"] == DELEGATION
    assert "host opc-obo-token" in seen.headers["authorization"]


async def test_for_oci_without_keys() -> None:
    """
    Anonymous credentials cannot be used with the SDK.
    """
    credentials: OCICredentials = oci_credentials(oci("anonymous"))

    with pytest.raises(NotSupportedError, match="signs every request"):
        await credentials.for_oci()

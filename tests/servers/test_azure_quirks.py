"""
Azurite has exactly the quirks that it is declared with, as Microsoft's own SDK sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.drivers.azure.test_servers import account_sas
from tests.servers import azure_quirks as quirks
from tests.servers.azure import AzureServer, blocking_client, fake_token, fresh_container


@pytest.fixture(params=["azurite", "azurite_tls"])
def server(request: pytest.FixtureRequest) -> AzureServer:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, AzureServer)
    return found


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> int | None:
    """Return the error status of a call, or ``None`` if it succeeds."""
    try:
        call(*arguments, **named)
    except HttpResponseError as exc:
        return exc.status_code
    return None


def names(container: ContainerClient) -> list[str]:
    return [blob.name for blob in container.list_blobs()]


def orders_by_utf16(container: ContainerClient, server: AzureServer) -> bool:
    for name in ("\uff5e", "\U00010000"):
        container.upload_blob(name, b"")
    return names(container) == ["\U00010000", "\uff5e"]


def divides_at_one_character(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("1abc2", b"")
    return [found.name for found in container.walk_blobs(delimiter="abc")] != ["1abc"]


def serves_range_of_nothing(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("k", b"")
    return _range_status(container, "bytes=0-") != 416


def serves_range_past_the_end(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("k", b"data")
    return _range_status(container, "bytes=4-5") != 416


def _range_status(container: ContainerClient, value: str) -> int:
    from azure.core.pipeline.transport import HttpRequest

    client: Any = container.get_blob_client("k")
    request = HttpRequest("GET", client.url, headers={"x-ms-range": value, "x-ms-version": "2026-02-06"})
    return int(client._client._client._pipeline.run(request).http_response.status_code)


def cannot_list_control_characters(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("a\x01b", b"")
    return refusal(names, container) == 500


def refuses_empty_tag(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("k", b"")
    return refusal(container.get_blob_client("k").set_blob_tags, {"empty": ""}) is not None


def gives_no_versions(container: ContainerClient, server: AzureServer) -> bool:
    return container.upload_blob("k", b"").get_blob_properties().version_id is None


def takes_long_names(container: ContainerClient, server: AzureServer) -> bool:
    return refusal(container.upload_blob, "k" * 1025, b"") is None


def fails_batches_by_signature(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("k", b"")
    signed = ContainerClient.from_container_url(
        f"{container.url}?{account_sas(server)}",
        connection_verify=str(server.ca_file) if server.ca_file else True,
        retry_total=0,
    )
    with signed:
        return refusal(lambda: list(signed.delete_blobs("k"))) == 500


def names_wrong_keys_otherwise(container: ContainerClient, server: AzureServer) -> bool:
    with blocking_client(replace(server, account_key="ZmFrZQ==")) as client:
        try:
            client.get_container_client(container.container_name).get_container_properties()
        except HttpResponseError as exc:
            return (exc.status_code, getattr(exc, "error_code", None)) != (403, "AuthenticationFailed")
    return False


def reads_few_sources(container: ContainerClient, server: AzureServer) -> bool:
    container.upload_blob("source", b"data")
    source = container.get_blob_client("source").url
    stage = container.get_blob_client("target").stage_block_from_url
    by_token = refusal(stage, "one", source, source_authorization=f"Bearer {fake_token().token}")
    by_signature = refusal(stage, "one", f"{source}?{account_sas(server)}")
    return by_token is not None and (by_signature is not None) == (server.ca_file is not None)


PROBES: dict[str, Callable[[ContainerClient, AzureServer], bool]] = {
    quirks.UTF16_ORDER: orders_by_utf16,
    quirks.WORD_DELIMITER: divides_at_one_character,
    quirks.EMPTY_RANGE: serves_range_of_nothing,
    quirks.OFF_RANGE: serves_range_past_the_end,
    quirks.CONTROL_NAMES: cannot_list_control_characters,
    quirks.EMPTY_TAG: refuses_empty_tag,
    quirks.NO_VERSIONS: gives_no_versions,
    quirks.LONG_KEYS: takes_long_names,
    quirks.SAS_BATCH: fails_batches_by_signature,
    quirks.WRONG_KEY: names_wrong_keys_otherwise,
    quirks.BLOCK_SOURCE: reads_few_sources,
}


@pytest.mark.parametrize("quirk", PROBES)
def test_quirk(server: AzureServer, quirk: str) -> None:
    """The server has exactly the quirks that it is declared with."""
    client: BlobServiceClient
    with blocking_client(server) as client:
        container = client.get_container_client(fresh_container(server))
        assert PROBES[quirk](container, server) == (quirk in server.quirks)


def test_every_quirk_is_explained_and_probed() -> None:
    """Each quirk has a probe, and a sentence so that an expected failure says why."""
    assert quirks.AZURITE == quirks.SENTENCES.keys() == PROBES.keys()

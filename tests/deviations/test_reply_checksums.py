"""
Servers whose replies to writes name the checksum of other bytes than were sent.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from asyncstore import IntegrityError, MiB, UploadOptions, WriteOptions
from asyncstore.driver.body import BytesBody
from tests.deviations.loose_s3 import LooseS3, loose_s3
from tests.drivers.azure import test_replies as azure
from tests.drivers.gcs import test_replies as gcs
from tests.drivers.oci import test_replies as oci
from tests.servers.scripted import reply, saying

PLAIN = WriteOptions()

PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)


@pytest.mark.parametrize("wrong_at", ["put", "part", "complete"])
@pytest.mark.parametrize("settings", [{}, {"checksum": "none"}])
async def test_s3(wrong_at: str, settings: dict[str, object]) -> None:
    """
    The write fails, whether or not a checksum was sent with it.
    """
    server = LooseS3(wrong_at=wrong_at)
    async with loose_s3(server, **settings) as storage:
        with pytest.raises(IntegrityError):
            await storage.put(storage.root / "k", b"x" * (1 if wrong_at == "put" else 6 * MiB), options=PARTS)


async def test_copy_of_other_bytes() -> None:
    """
    A copy is compared with its source, by the reply or by what is at the target.
    """
    server = LooseS3(wrong_at="copy", objects={"source": b"x"})
    async with loose_s3(server) as storage:
        with pytest.raises(IntegrityError, match="differs from its source"):
            await storage.copy(storage.root / "source", storage.root / "k")

    server.wrong_at, server.checksums = "", False
    async with loose_s3(server) as storage:
        assert (await storage.copy(storage.root / "source", storage.root / "k")).size == 1


@pytest.mark.parametrize("wrong_at", ["put", "part", "complete"])
async def test_s3_without_verification(wrong_at: str) -> None:
    """
    verify_checksums=False compares nothing.
    """
    async with loose_s3(LooseS3(wrong_at=wrong_at), verify_checksums=False) as storage:
        await storage.put(storage.root / "k", b"x" * (1 if wrong_at == "put" else 6 * MiB), options=PARTS)


MD5_OF_OTHERS = "lUiyA5WHoExxnyolUDlVCQ=="
CRC_OF_OTHERS = "AAAAAA=="

GCS_PUT = {"name": "key", "generation": "1", "size": "4"}


async def gcs_put(driver_settings: dict[str, object], *answers: object) -> None:
    async with gcs.driving(*answers, **driver_settings) as (driver, _):  # type: ignore[arg-type]
        await driver.put(gcs.URI, BytesBody(b"data"), PLAIN)


async def oci_put(driver_settings: dict[str, object], *answers: object) -> None:
    async with oci.driving(*answers, **driver_settings) as (driver, _):  # type: ignore[arg-type]
        await driver.put(oci.URI, BytesBody(b"data"), PLAIN)


async def oci_part(driver_settings: dict[str, object], *answers: object) -> None:
    async with oci.driving(*answers, **driver_settings) as (driver, _):  # type: ignore[arg-type]
        await driver.upload_part(oci.URI, "u1", 1, BytesBody(b"data"), PLAIN)


async def azure_put(driver_settings: dict[str, object], *answers: object) -> None:
    async with azure.driving(*answers, **driver_settings) as (driver, _):  # type: ignore[arg-type]
        await driver.put(azure.URI, BytesBody(b"data"), PLAIN)


async def azure_part(driver_settings: dict[str, object], *answers: object) -> None:
    async with azure.driving(*answers, **driver_settings) as (driver, _):  # type: ignore[arg-type]
        upload = await driver.initiate_multipart_upload(azure.URI, PLAIN)
        await driver.upload_part(azure.URI, upload, 1, BytesBody(b"data"), PLAIN)


def json_reply(**fields: str) -> bytes:
    return reply(200, json.dumps({**GCS_PUT, **fields}).encode())


@pytest.mark.parametrize("checksum", [None, "none"])
@pytest.mark.parametrize(
    ("write", "wrong"),
    [
        (gcs_put, json_reply(crc32c=CRC_OF_OTHERS)),
        (gcs_put, json_reply(md5Hash=MD5_OF_OTHERS)),
        (oci_put, reply(200, ETag="e", opc_content_crc32c=CRC_OF_OTHERS)),
        (oci_put, reply(200, ETag="e", opc_content_md5=MD5_OF_OTHERS)),
        (oci_part, reply(200, ETag="e", opc_content_crc32c=CRC_OF_OTHERS)),
        (oci_part, reply(200, ETag="e", opc_content_md5=MD5_OF_OTHERS)),
        (azure_put, reply(201, ETag='"0x1"', x_ms_content_crc64="AAAAAAAAAAA=")),
        (azure_put, reply(201, ETag='"0x1"', Content_MD5=MD5_OF_OTHERS)),
        (azure_part, reply(201, x_ms_content_crc64="AAAAAAAAAAA=")),
        (azure_part, reply(201, Content_MD5=MD5_OF_OTHERS)),
    ],
)
async def test_other_providers(write: Callable[..., Awaitable[None]], wrong: bytes, checksum: str | None) -> None:
    """
    Whichever checksum the reply names is compared, whether or not one was sent.
    """
    with pytest.raises(IntegrityError):
        await write({} if checksum is None else {"checksum": checksum}, saying(wrong))

"""
aiobotocore: the asyncio version of Amazon's own SDK.

The pool is as large as the number of requests in flight (the default is 10). Payloads are neither hashed for
the signature nor sent with a checksum, like those of the other contenders. Retries are the default.
"""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from benchmarks.contenders import Target
from benchmarks.contenders.files import SmallFiles
from benchmarks.contenders.positioned import read_parts, write_parts


async def connect(target: Target) -> "Aiobotocore":
    """Connect."""
    stack = AsyncExitStack()
    config = AioConfig(
        max_pool_connections=target.concurrency,
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path", "payload_signing_enabled": False},
    )
    client = await stack.enter_async_context(
        get_session().create_client(
            "s3",
            endpoint_url=target.endpoint,
            region_name=target.region,
            aws_access_key_id=target.access_key,
            aws_secret_access_key=target.secret_key,
            verify=target.ca,
            config=config,
        )
    )
    return Aiobotocore(target, client, stack)


class Aiobotocore(SmallFiles):
    """One client. Large objects are transferred as parts in tasks, as its users do."""

    def __init__(self, target: Target, client: Any, stack: AsyncExitStack) -> None:
        super().__init__(target.concurrency)
        self._client, self._stack, self._bucket = client, stack, target.bucket

    async def make_bucket(self) -> None:
        """Create the bucket."""
        await self._client.create_bucket(Bucket=self._bucket)

    async def get(self, key: str) -> bytes:
        reply = await self._client.get_object(Bucket=self._bucket, Key=key)
        async with reply["Body"] as body:
            data: bytes = await body.read()
            return data

    async def put(self, key: str, data: bytes) -> None:
        await self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    async def download(self, key: str, path: Path) -> None:
        head = await self._client.head_object(Bucket=self._bucket, Key=key)

        async def read_part(start: int, end: int) -> bytes:
            reply = await self._client.get_object(
                Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=head["ETag"]
            )
            async with reply["Body"] as body:
                data: bytes = await body.read()
                return data

        await write_parts(path, head["ContentLength"], read_part)

    async def upload(self, path: Path, key: str) -> None:
        names = {"Bucket": self._bucket, "Key": key}
        created = await self._client.create_multipart_upload(**names)
        etags: dict[int, str] = {}

        async def write_part(number: int, data: bytes) -> None:
            reply = await self._client.upload_part(**names, UploadId=created["UploadId"], PartNumber=number, Body=data)
            etags[number] = reply["ETag"]

        await read_parts(path, write_part)
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        await self._client.complete_multipart_upload(
            **names, UploadId=created["UploadId"], MultipartUpload={"Parts": parts}
        )

    async def list(self, prefix: str) -> int:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return sum([len(page.get("Contents", ())) async for page in pages])

    async def aclose(self) -> None:
        await self._stack.aclose()

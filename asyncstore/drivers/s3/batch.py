"""
Batch deletion: many keys in one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncstore.driver.batch_outcomes import outcomes_by_key
from asyncstore.drivers.s3.bucket_names import zone_of
from asyncstore.drivers.s3.copying import outcome
from asyncstore.drivers.s3.errors import ERRORS
from asyncstore.drivers.s3.objects import Objects
from asyncstore.drivers.s3.wire import document
from asyncstore.errors import InvalidRequestError, NotFoundError, NotSupportedError, StorageError
from asyncstore.http.xml import can_carry, child, escaped, parse
from asyncstore.options import DeleteOptions
from asyncstore.uri import ObjectURI

#: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
MAX_KEYS: Final = 1000

_PLAIN: Final = DeleteOptions()


class Batches(Objects):
    """
    Batch deletion.
    """

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
        """
        Delete *uris*, all in one bucket. Keys that XML cannot carry are deleted one by one.

        Raises:
            NotSupportedError: This endpoint does not support batch deletion.
        """
        named = [uri for uri in uris if can_carry(uri.key)]
        outcomes = iter(await self._delete_named(named) if named else ())
        return [next(outcomes) if can_carry(uri.key) else await self._delete_one(uri) for uri in uris]

    async def _delete_named(self, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
        objects = "".join([f"<Object><Key>{escaped(uri.key)}</Key></Object>" for uri in uris])
        content = f"<Quiet>true</Quiet>{objects}"
        request = document("POST", uris[0], "delete=", "Delete", content, crc=zone_of(uris[0].bucket) is not None)
        try:
            reply, body = await self._wire.read(request._replace(whole_bucket=True))
        except (InvalidRequestError, NotFoundError) as exc:
            # Not every S3-compatible service supports it; a missing bucket has a code of its own.
            if exc.status == 405 or (exc.status == 404 and exc.code != "NoSuchBucket"):
                raise NotSupportedError(
                    "this endpoint does not support batch deletion", provider="s3", status=exc.status
                ) from None
            raise
        if not self._wire.addresses.at_aws and parse(body) is None:
            # It took the request for another one.
            raise NotSupportedError("the reply to a batch is not XML: this endpoint does not support batch deletion")
        root = outcome(reply, body, "DeleteResult")
        failed: list[tuple[str | None, StorageError]] = []
        for item in root.iterfind("Error"):
            code = child(item, "Code")
            if code not in ("NoSuchKey", "NoSuchVersion"):
                error = ERRORS.error(code, child(item, "Message") or "", request_id=reply.request_id)
                failed.append((child(item, "Key"), error))
        return outcomes_by_key(uris, failed)

    async def _delete_one(self, uri: ObjectURI) -> StorageError | None:
        try:
            await self.delete(uri, _PLAIN)
        except StorageError as exc:
            return exc
        return None

"""
Requests below ``/actions``: renaming, restoring and deleting many objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from asyncstore.driver import NotInBatchError
from asyncstore.driver.batch_outcomes import outcomes_by_key
from asyncstore.drivers.oci.errors import MALFORMED, make_error, malformed, refusal
from asyncstore.drivers.oci.objects import Objects, check_name
from asyncstore.drivers.oci.wire import PATIENCE, Request, document
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.http.error_documents import has_error
from asyncstore.http.exchange import parse_json
from asyncstore.uri import ObjectURI

#: Keys in one batch of deletions.
MAX_BATCH: Final = 1000


class Actions(Objects):
    """
    Requests that OCI calls actions.
    """

    async def rename(self, source: ObjectURI, key: str, *, if_none_match: Literal["*"] | None = None) -> None:
        """
        Give an object another key in its bucket, in one step and without moving its bytes.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/RenameObject

        Raises:
            NotFoundError: The object does not exist.
            AlreadyExistsError: ``if_none_match="*"``, and an object with the new key exists.
        """
        check_name(source.with_key(key))
        details = {"sourceName": source.key, "newName": key}
        if if_none_match is not None:
            details["newObjIfNoneMatchETag"] = if_none_match
        create_only = if_none_match is not None
        request = Request("POST", source, "/actions/renameObject", body=document(details), create_only=create_only)
        await self._wire.perform(request)

    async def restore(self, uri: ObjectURI, *, hours: int = 24, version_id: str | None = None) -> None:
        """
        Start restoring an archived object, which is then readable for *hours*; it takes about an hour.

        https://docs.oracle.com/iaas/Content/Object/Tasks/restoringarchivedobjects.htm

        Raises:
            ConfigurationError: *hours* is not between 1 and 240.
        """
        if not 1 <= hours <= 240:
            raise ConfigurationError(f"hours takes 1 to 240, not {hours}")
        details = {"objectName": uri.key, "hours": hours}
        if version_id is not None:
            details |= {"versionId": version_id}
        await self._wire.perform(Request("POST", uri, "/actions/restoreObjects", body=document(details)))

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> list[StorageError | None]:
        """
        Delete *uris*, all in one bucket. Only those that the reply names count as settled.

        https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/BatchDeleteObjects
        """
        details = {"objects": [{"objectName": uri.key} for uri in uris], "isSkipDeletedResult": False}
        request = Request("POST", uris[0], "/actions/batchDeleteObjects", body=document(details), patience=PATIENCE)
        reply, body = await self._wire.read(request)
        if has_error(body):
            raise refusal(reply, body)
        found = await parse_json(reply, body)
        try:
            failed = [(item.get("objectName"), _outcome(item, reply.request_id)) for item in found.get("failed") or ()]
            deleted = [item.get("objectName") for item in found.get("deleted") or ()]
        except MALFORMED as exc:
            raise malformed(reply, "the result of a batch deletion") from exc
        outcomes = outcomes_by_key(uris, [(name, error) for name, error in failed if error is not None])
        named = {name for name, _ in failed}.union(deleted)
        return [
            NotInBatchError(request_id=reply.request_id, provider="oci")
            if error is None and uri.key not in named
            else error
            for uri, error in zip(uris, outcomes, strict=True)
        ]


def _outcome(item: Mapping[str, Any], request_id: str | None) -> StorageError | None:
    status = item.get("statusCode")
    if status == 404:
        # It is deleted already.
        return None
    return make_error(
        None,
        str(item.get("errorMessage") or "the object was not deleted"),
        status=status if isinstance(status, int) else None,
        request_id=request_id,
    )

"""
Reads, writes and deletes one object.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from multidict import istr

from asyncstore.auth.aws.configuration import Configuration
from asyncstore.auth.aws.sigv4 import encode_query
from asyncstore.driver import Condition
from asyncstore.driver.body import Body, ReadBody
from asyncstore.driver.conditions import check_read
from asyncstore.drivers.s3.encryption import key_headers, write_headers
from asyncstore.drivers.s3.features import (
    CONDITIONS,
    MD5_ETAGS,
    OBJECT_LOCK,
    PART_CHECKSUMS,
    READ_CHECKSUMS,
    TAGS,
    UNSIGNED_PAYLOADS,
    WRITE_CHECKSUMS,
    names_condition,
)
from asyncstore.drivers.s3.headers import (
    checksum_header,
    checksum_of,
    checksums_of,
    content_headers,
    md5_of,
    metadata_of,
    named_version,
)
from asyncstore.drivers.s3.protection import BYPASS, until
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.drivers.s3.wire import CHECKED_READ, Request, Wire, document, payload_hash, signed_hash
from asyncstore.encryption import key_of
from asyncstore.errors import (
    IntegrityError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
)
from asyncstore.http.driver import HTTPDriver
from asyncstore.http.exchange import NO_HEADERS
from asyncstore.http.header_values import parse_size
from asyncstore.http.object_headers import checksum_to_send, condition_headers, read_headers, without_object
from asyncstore.http.object_reply import (
    check_version,
    check_written_size,
    compare_received,
    object_body,
    object_size,
    written_object,
)
from asyncstore.http.reply import Reply
from asyncstore.http.xml import expect, parse, tag_set, tags_in
from asyncstore.options import PLAIN_READ, CopyOptions, DeleteOptions, ReadOptions, WriteOptions
from asyncstore.retention import Retention
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
_TAGS: Final = "tagging="

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html
_NO_LOCK: Final = ("NoSuchObjectLockConfiguration", "InvalidRequest", "ObjectLockConfigurationNotFoundError")

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html#API_PutObject_ResponseSyntax
_OBJECT_SIZE: Final = istr("x-amz-object-size")

_written: Final = partial(written_object, version_header="x-amz-version-id")


class Objects(HTTPDriver):
    """
    The requests about one object.
    """

    _wire: Wire
    _settings: S3Settings

    def __init__(self, wire: Wire, settings: S3Settings) -> None:
        super().__init__(wire, settings)
        self._encryption = settings.default_encryption
        self._lacking: set[str] = set()
        # Kinds of writes whose tags the endpoint is known to store.
        self._tagged: set[str] = set()
        # Kinds of writes that the endpoint is known to protect.
        self._protected: set[str] = set()
        # Parameters about object lock that the endpoint is known to have.
        self._known_parameters: set[str] = set()
        self._compares_etags = settings.etag_is_md5 and settings.verifies
        self._checksum_of = partial(checksum_of, etag_is_md5=True) if self._compares_etags else checksum_of
        self._has_md5_etags = False
        self.unproven = CONDITIONS
        # Sent with each read.
        self._checked: Mapping[str, str] = NO_HEADERS
        self._unprepared = True
        self._configure(wire.credentials.known_configuration)
        wire.addresses.on_resolved = self._configure

    def _configure(self, configuration: Configuration) -> None:
        """
        Do what AWS's configuration says, and what is known of the endpoint: the variables at first, then the profile.
        """
        addresses, settings = self._wire.addresses, self._settings
        self._unprepared = not addresses.resolved
        self._has_tags = addresses.at_aws
        if addresses.surely_at_aws:
            self.unproven = frozenset()
        calculates = settings.checksum != "auto" or configuration.supports("request_checksum_calculation")
        validates = settings.verify_checksums is not None or configuration.supports("response_checksum_validation")
        self.preferred_checksum = settings.default_checksum(aws=addresses.at_aws) if calculates else None
        self._checked = CHECKED_READ if settings.requests_checksums and validates else NO_HEADERS

    def narrow(self, feature: str, reason: str, **changes: Any) -> None:
        super().narrow(feature, reason, **changes)
        self._lacking.add(feature)
        if feature == MD5_ETAGS:
            self._compares_etags, self._checksum_of = False, checksum_of
        if feature == READ_CHECKSUMS:
            self._checked = NO_HEADERS
        if feature == WRITE_CHECKSUMS:
            self.preferred_checksum = None

    def _conditional(self, error: StorageError, condition: Condition, if_match: str | None) -> StorageError:
        """
        Return what the refusal of a conditional write means, and remember that the endpoint knows the *condition*.
        """
        # The failed condition of a copy may be that on its source.
        if isinstance(error, PreconditionFailedError) and condition != "copy":
            self.unproven -= {condition}
        if isinstance(error, NotFoundError):
            return without_object(error, if_match, "NoSuchKey")
        if not names_condition(error):
            return error
        reason = f"refused with status {error.status}: {error.message}"
        changes = {} if condition == "complete" else {f"conditional_{condition}": False}
        self.narrow(f"conditions ({condition})", reason, **changes)
        return NotSupportedError(
            f"this endpoint does not support the condition: {error.message}",
            code=error.code,
            status=error.status,
            request_id=error.request_id,
        )

    async def _payload_hash(self, body: Body) -> str:
        if UNSIGNED_PAYLOADS in self._lacking and body.size:
            return await signed_hash(body)
        return payload_hash(body)

    async def prepare(self) -> None:
        await self._wire.addresses.resolve()

    def _part_checksum(self, options: WriteOptions) -> ChecksumAlgorithm | None:
        return options.checksum or (None if PART_CHECKSUMS in self._lacking else self.preferred_checksum)

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        if self._unprepared:
            await self.prepare()
        if options is PLAIN_READ and self._encryption is None:
            # Almost all reads; each call counts.
            request = Request("GET", uri, "", self._checked)
        else:
            request = Request("GET", uri, version_query(options.version_id), self._reading_headers(options))
        reply = await self._wire.send(request)
        describe = partial(metadata_of, uri, reply.headers, etag_is_md5=self._compares_etags)
        body = object_body(reply, options.range, describe, self._checksum_of)
        if options.version_id is not None:
            check_version(reply, options, named_version(reply.headers, options.version_id))
        if options is not PLAIN_READ and not self._wire.addresses.at_aws:
            try:
                # Not every endpoint knows all conditions.
                check_read(body.info, options)
            except BaseException:
                reply.close()
                raise
        return body

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        if self._unprepared:
            await self.prepare()
        headers = self._reading_headers(options)
        reply = await self._wire.send(Request("HEAD", uri, version_query(options.version_id), headers))
        info = metadata_of(uri, reply.headers, object_size(reply), etag_is_md5=self._compares_etags)
        if options.version_id is not None:
            check_version(reply, options, named_version(reply.headers, options.version_id))
        if options is not PLAIN_READ and not self._wire.addresses.at_aws:
            check_read(info, options)
        return info

    def _reading_headers(self, options: ReadOptions) -> Mapping[str, str]:
        headers = read_headers(options)
        if (encryption := options.encryption or self._encryption) is not None:
            headers |= key_headers(encryption)
        return {**headers, **self._checked} if headers else self._checked

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        if self._unprepared:
            await self.prepare()
        checksum = await checksum_to_send(body, options.checksum or self.preferred_checksum or _demanded(options))
        headers = content_headers(options)
        headers |= condition_headers(options.if_match, options.if_none_match)
        headers |= write_headers(options.encryption or self._encryption)
        headers |= sent_checksum(checksum)
        request = Request(
            *("PUT", uri, "", headers, body, await self._payload_hash(body)),
            create_only=options.if_none_match is not None,
            chosen_checksum=options.checksum is not None,
        )
        try:
            reply = await self._wire.perform(request)
        except StorageError as exc:
            if options.if_match is None and options.if_none_match is None:
                raise
            condition: Condition = "replace" if options.if_none_match is None else "create"
            raise self._conditional(exc, condition, options.if_match) from None
        if (size := reply.headers.get(_OBJECT_SIZE)) is not None:
            check_written_size(body.size, parse_size(size))
        stored = await self._verified(body, checksum, reply)
        await self._check_tags(uri, options.tags, "put")
        await self._check_protection(uri, options, "put")
        return _written(uri, reply, body.size, stored or checksum, options.storage_class)

    async def _verified(self, body: Body, sent: Checksum | None, reply: Reply) -> Checksum | None:
        """
        Compare the checksums in the reply to a write, or its ETag, with *body*, and return the first.

        Args:
            sent: The checksum that was sent with it.

        Raises:
            IntegrityError: One differs.
        """
        stored = [checksum for checksum in checksums_of(reply.headers) if checksum.parts is None]
        if stored and self._settings.verifies:
            await compare_received(body, stored, reply, sent)
        elif self._compares_etags:
            await self._compare_etag(body, reply)
        return stored[0] if stored else None

    async def _compare_etag(self, body: Body, reply: Reply) -> None:
        """
        Compare the ETag of what one request wrote with the MD5 of bytes in memory.

        The first one tells whether the ETags of this endpoint are MD5s.

        Raises:
            IntegrityError: They are, and this one is another.
        """
        stored = md5_of(reply.headers)
        if stored is None or body.data is None:
            return
        try:
            await compare_received(body, [stored], reply)
        except IntegrityError:
            if self._has_md5_etags:
                raise
            self.narrow(MD5_ETAGS, "the ETag of an object that was written is not its MD5", etag_is_md5=False)
        else:
            self._has_md5_etags = True

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        headers = condition_headers(options.if_match, None)
        if options.bypass_retention:
            headers |= BYPASS
        request = Request("DELETE", uri, version_query(options.version_id), headers)
        if options.if_match is None:
            return await self._wire.remove(request, ("NoSuchBucket",))
        try:
            await self._wire.perform(request)
        except StorageError as exc:
            raise self._conditional(exc, "delete", options.if_match) from None

    async def get_tags(self, uri: ObjectURI) -> dict[str, str]:
        _, body = await self._wire.read(Request("GET", uri, _TAGS))
        root = parse(body)
        if (root is None or root.tag != "Tagging") and not self._wire.addresses.at_aws:
            raise self._lacks(TAGS, "a request for tags is answered with something else", tags=0)
        found = tags_in(expect(body, "Tagging"))
        self._has_tags = True
        return found

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        request = document("PUT", uri, _TAGS, "Tagging", tag_set(tags))
        if not self._has_tags:
            # An endpoint that ignores the parameter would replace the object by the document.
            await self.get_tags(uri)
        await self._wire.perform(request)

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        """
        Replace the retention; an empty element removes it.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html
        """
        content = ""
        if retention is not None:
            end = f"<RetainUntilDate>{until(retention)}</RetainUntilDate>"
            content = f"<Mode>{retention.mode.upper()}</Mode>{end}"
        await self._change("retention", "Retention", content, uri, version_id, BYPASS if bypass else NO_HEADERS)

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        content = f"<Status>{'ON' if held else 'OFF'}</Status>"
        await self._change("legal-hold", "LegalHold", content, uri, version_id)

    async def _change(
        self,
        what: str,
        tag: str,
        content: str,
        uri: ObjectURI,
        version_id: str | None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """
        Send a document about a part of the object that the parameter *what* names.
        """
        query = encode_query([(what, ""), *([] if version_id is None else [("versionId", version_id)])])
        request = document("PUT", uri, query, tag, content)
        if not self._wire.addresses.at_aws:
            # An endpoint that ignores the parameter would replace the object by the document.
            await self._find_parameter(what, tag, uri, query)
        await self._wire.perform(request._replace(headers={**request.headers, **headers}))

    async def _find_parameter(self, what: str, tag: str, uri: ObjectURI, query: str) -> None:
        """
        Check that the endpoint knows the parameter *what*.

        Raises:
            NotSupportedError: It answers with something else, such as the object.
        """
        if what in self._known_parameters:
            return
        try:
            _, body = await self._wire.read(Request("GET", uri, query))
        except StorageError as exc:
            # An object without a retention, or a bucket without object lock.
            if exc.code not in _NO_LOCK:
                raise
        else:
            root = parse(body)
            if root is None or root.tag != tag:
                reason = f"a request for ?{what} is answered with something else"
                raise self._lacks(OBJECT_LOCK, reason, object_lock=False, bypass_retention=False)
        self._known_parameters.add(what)

    async def _check_tags(self, uri: ObjectURI, written: Mapping[str, str] | None, kind: str) -> None:
        """
        Check that the endpoint has stored the tags that a write has *written*, if it may ignore them.

        Takes a request after the first such write of a *kind*; none on AWS.

        Raises:
            NotSupportedError: It has not.
        """
        if not written or kind in self._tagged or self._wire.addresses.at_aws:
            return
        try:
            found = await self.get_tags(uri)
        except PermissionDeniedError:
            # The credentials may only allow writes.
            return
        except NotSupportedError as exc:
            exc.message += "; the object was written without tags"
            raise
        if found != written:
            raise self._lacks(f"tags of a {kind}", "the object was written without the tags that were sent with it")
        self._tagged.add(kind)

    async def _check_protection(self, uri: ObjectURI, options: WriteOptions | CopyOptions, kind: str) -> None:
        """
        Check that the endpoint protects what a write has written, if it may ignore the headers that ask for it.

        Takes a request after the first such write of a *kind*; none on AWS.

        Raises:
            NotSupportedError: It does not, or does not tell.
        """
        protected = options.retention is not None or options.legal_hold
        if not protected or kind in self._protected or self._wire.addresses.at_aws:
            return
        info = await self.stat(uri, ReadOptions(encryption=key_of(options.encryption)))
        if (options.retention is not None and info.retention is None) or (options.legal_hold and not info.legal_hold):
            reason = "the object was written, and no reply shows the retention or legal hold that was sent with it"
            raise self._lacks(f"object lock of a {kind}", reason)
        self._protected.add(kind)

    def _lacks(self, feature: str, reason: str, **changes: Any) -> NotSupportedError:
        """
        Narrow the capabilities by *feature*, and return the error of the request that used it.
        """
        self.narrow(feature, reason, **changes)
        return NotSupportedError(f"this endpoint does not support {feature}: {reason}")


def _demanded(options: WriteOptions) -> ChecksumAlgorithm | None:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html: with a retention, a checksum is required.
    return ChecksumAlgorithm.MD5 if options.retention is not None or options.legal_hold else None


def version_query(version_id: str | None) -> str:
    return "" if version_id is None else encode_query([("versionId", version_id)])


def sent_checksum(checksum: Checksum | None) -> dict[str, str]:
    """
    Return the headers that let S3 verify what it receives.
    """
    if checksum is None:
        return {}
    if checksum.algorithm is ChecksumAlgorithm.MD5:
        return {"Content-MD5": checksum.base64()}
    return {"x-amz-sdk-checksum-algorithm": checksum.algorithm.upper(), **checksum_header(checksum)}

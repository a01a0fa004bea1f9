"""
Differences between the test servers and the real services, so that tests can mark expected failures.

The library itself never reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

LIST_ORDER = "list order is per directory"
KEY_FORMS = "keys are paths"
CREATE_ONLY_RACE = "create-only race is slow"
IF_MATCH_ABSENT = "If-Match on an absent key is 412"
DELETE_MARKER_READ = "reading a delete marker is 404"
GLACIER_READ = "archived objects can be read"
BATCH_ERROR_CODE = "1001 deletes are InvalidArgument"
NO_STS = "no STS"
LONG_KEYS = "keys over 1024 bytes are accepted"
BATCH_LIMIT = "1001 deletes are accepted"
SMALL_PARTS = "small parts are accepted"
PART_ORDER = "part order is not checked"
SELF_COPY = "copying to itself is not checked"
COMPOSITE_ONLY = "multipart checksums are composite"
METADATA_SIZE = "metadata size is not checked"
REDUNDANT_CREATE = "creating a bucket twice is not checked"
COPY_CONDITIONS = "conditions on the target of a copy are not checked"
EMPTY_SUFFIX = "a suffix of an empty object is 206"
EMPTY_METADATA = "empty metadata values are dropped"
GHOST_PREFIX = "a common prefix outlives its objects"
TAGS_STAY = "tags outlive an overwrite"
KEYS_IGNORED = "keys of the customer are not checked"
UNTAGGED_PARTS = "multipart uploads lose their tags"
CONDITIONS_IGNORED = "conditions are not checked"
CHECKSUMS_IGNORED = "checksums are not checked"
SIGNATURES_IGNORED = "signatures are not checked"
DELIMITER_OF_ONE = "a delimiter is one character"
PREFIXES_UNCOUNTED = "common prefixes do not count towards a page"
VERSION_NOT_DELETED = "an old version is not deleted by its generation"
VERSIONS_REPEATED = "pages of versions repeat and lose some"
MERGED_COPY = "metadata of a copy is merged with that of the source"
NO_LINES = "keys have no line ends"
OCI_SMALL_PARTS = "the OCI stand-in accepts small parts"

SENTENCES: Mapping[str, str] = {
    LIST_ORDER: "`a/x` is listed before `a-x`; S3 orders whole keys by their bytes. StartAfter uses the same order.",
    KEY_FORMS: (
        "The body of a key that ends in `/` is lost, a leading `/` is dropped, `.` and `..` segments are "
        "refused, `\\` is listed as another character, and a segment may have at most 255 bytes."
    ),
    CREATE_ONLY_RACE: "Sixteen concurrent `If-None-Match: *` puts of one key take seconds; exactly one succeeds.",
    IF_MATCH_ABSENT: "A put with If-Match on a missing key is PreconditionFailed, not NoSuchKey.",
    DELETE_MARKER_READ: "Reading a delete marker by its version is 404, not MethodNotAllowed.",
    GLACIER_READ: "An object of class GLACIER can be read without a restore.",
    BATCH_ERROR_CODE: "A batch of 1001 deletes is InvalidArgument, not MalformedXML.",
    NO_STS: "It does not issue temporary credentials.",
    LONG_KEYS: "A key of 1025 bytes is stored, not KeyTooLongError.",
    BATCH_LIMIT: "A batch of 1001 deletes is executed, not MalformedXML.",
    SMALL_PARTS: "A part under 5 MiB before the last is accepted, not EntityTooSmall.",
    PART_ORDER: "Completing with parts in descending order is accepted, not InvalidPartOrder.",
    SELF_COPY: "Copying an object to itself without a change is accepted, not InvalidRequest.",
    COMPOSITE_ONLY: "A multipart upload that asks for a FULL_OBJECT checksum gets a composite one.",
    METADATA_SIZE: "User metadata over 2 KB is stored, not MetadataTooLarge.",
    COPY_CONDITIONS: "CopyObject ignores If-Match and If-None-Match, so it overwrites objects that it must not.",
    EMPTY_SUFFIX: "A range `bytes=-1` of an empty object is answered with 206, not 416 InvalidRange.",
    EMPTY_METADATA: "User metadata with an empty value is not stored.",
    NO_LINES: "OCI itself forbids line feeds, carriage returns and NUL in keys; the driver refuses them.",
    OCI_SMALL_PARTS: "Parts under 10 MiB before the last are accepted: OCI no longer documents a minimum size.",
    GHOST_PREFIX: "A common prefix is still listed after the last object below it was deleted.",
    TAGS_STAY: "An overwritten object keeps its old tags.",
    KEYS_IGNORED: "An object that was written with a customer's key is read without it.",
    UNTAGGED_PARTS: "The tags of a multipart upload are ignored.",
    CONDITIONS_IGNORED: "Only multipart insertions (metadata with bytes) check preconditions.",
    CHECKSUMS_IGNORED: "An insertion whose bytes do not match its crc32c is stored.",
    SIGNATURES_IGNORED: "Signatures are ignored, for every method.",
    DELIMITER_OF_ONE: "A common prefix ends after the first character of a longer delimiter.",
    PREFIXES_UNCOUNTED: "maxResults counts only objects: a page can have more entries, and two pages the same prefix.",
    VERSION_NOT_DELETED: "A deletion with a generation does not delete that version.",
    VERSIONS_REPEATED: "A page token is a name: the page after one that ends between versions of a key repeats them.",
    MERGED_COPY: "A rewrite with metadata keeps the fields of the source that the request omits.",
    REDUNDANT_CREATE: "Creating your own bucket again is accepted, which S3 does only in us-east-1.",
}

SEAWEEDFS = frozenset(
    {
        LIST_ORDER,
        KEY_FORMS,
        CREATE_ONLY_RACE,
        IF_MATCH_ABSENT,
        DELETE_MARKER_READ,
        GLACIER_READ,
        BATCH_ERROR_CODE,
        NO_STS,
        METADATA_SIZE,
        EMPTY_METADATA,
        GHOST_PREFIX,
    }
)
MINISTACK = frozenset(
    {
        LONG_KEYS,
        BATCH_LIMIT,
        SMALL_PARTS,
        PART_ORDER,
        SELF_COPY,
        COMPOSITE_ONLY,
        METADATA_SIZE,
        REDUNDANT_CREATE,
        COPY_CONDITIONS,
        EMPTY_SUFFIX,
        TAGS_STAY,
        UNTAGGED_PARTS,
    }
)

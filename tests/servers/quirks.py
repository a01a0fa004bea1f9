"""
Where a server differs from the service it stands for, so that a test can ask before it expects.

For tests only: the library itself never looks here.
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
LONG_KEYS = "keys over 1024 bytes are taken"
BATCH_LIMIT = "1001 deletes are taken"
SMALL_PARTS = "small parts are taken"
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
CONDITIONS_IGNORED = "conditions are not checked"
CHECKSUMS_IGNORED = "checksums are not checked"
SIGNATURES_IGNORED = "signatures are not checked"
DELIMITER_OF_ONE = "a delimiter is one character"
PREFIXES_UNCOUNTED = "common prefixes do not count on a page"
VERSION_NOT_DELETED = "an old version is not deleted by its generation"
VERSIONS_REPEATED = "pages of versions repeat and lose some"
MERGED_COPY = "what is given to a copy is merged with what the source has"
NO_LINES = "keys have no line ends"
OCI_SMALL_PARTS = "small parts are taken by the OCI stand-in"

SENTENCES: Mapping[str, str] = {
    LIST_ORDER: "`a/x` is listed before `a-x`, where S3 orders whole keys by their bytes; StartAfter follows suit.",
    KEY_FORMS: (
        "Bodies put to a key that ends in `/` are lost, a leading `/` is dropped, `.` and `..` segments are "
        "refused, `\\` does not list as itself, and no segment may pass 255 bytes."
    ),
    CREATE_ONLY_RACE: "Sixteen `If-None-Match: *` at once on one key take seconds; there is still one winner.",
    IF_MATCH_ABSENT: "A put with If-Match on a key that is not there is PreconditionFailed, not NoSuchKey.",
    DELETE_MARKER_READ: "Reading a delete marker by its version is 404, not MethodNotAllowed.",
    GLACIER_READ: "An object of class GLACIER is served without having been restored.",
    BATCH_ERROR_CODE: "A batch of 1001 deletes is InvalidArgument, not MalformedXML.",
    NO_STS: "Temporary credentials cannot be had from it.",
    LONG_KEYS: "A key of 1025 bytes is stored, not KeyTooLongError.",
    BATCH_LIMIT: "A batch of 1001 deletes is carried out, not MalformedXML.",
    SMALL_PARTS: "A part under 5 MiB before the last is accepted, not EntityTooSmall.",
    PART_ORDER: "Completing with parts in descending order is accepted, not InvalidPartOrder.",
    SELF_COPY: "Copying an object to itself without a change is accepted, not InvalidRequest.",
    COMPOSITE_ONLY: "A multipart upload that asks for a FULL_OBJECT checksum gets a composite one.",
    METADATA_SIZE: "User metadata over 2 KB is stored, not MetadataTooLarge.",
    COPY_CONDITIONS: "If-Match and If-None-Match of CopyObject are not looked at, so it replaces what it should not.",
    EMPTY_SUFFIX: "A range `bytes=-1` of an object without bytes is answered by 206, not 416 InvalidRange.",
    EMPTY_METADATA: "User metadata whose value is empty is not stored.",
    NO_LINES: "No key has a line feed, a carriage return or a NUL, by the rule of OCI itself; the driver refuses them.",
    OCI_SMALL_PARTS: "Parts under 10 MiB are taken before the last one: OCI's page names no least size any more.",
    GHOST_PREFIX: "A common prefix is still listed when the last object below it has been deleted.",
    TAGS_STAY: "An object that is written again keeps the tags of the one before it.",
    CONDITIONS_IGNORED: "Preconditions are looked at by insertions of metadata with bytes, and by nothing else.",
    CHECKSUMS_IGNORED: "An insertion whose bytes are not those of its crc32c is stored.",
    SIGNATURES_IGNORED: "Any signature is as good as none, for any method.",
    DELIMITER_OF_ONE: "Of a longer delimiter only the first character ends a common prefix.",
    PREFIXES_UNCOUNTED: "maxResults counts objects, so that a page has more entries, or one prefix twice.",
    VERSION_NOT_DELETED: "A deletion that names a generation leaves it where it is.",
    VERSIONS_REPEATED: "A page token is a name, so that a page that ends between versions of one key begins anew.",
    MERGED_COPY: "A rewrite with metadata keeps those fields of the source that are not given.",
    REDUNDANT_CREATE: "Creating one's own bucket again is accepted, as by S3 in us-east-1 but nowhere else.",
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
    }
)

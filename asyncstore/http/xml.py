"""
Parses XML from servers, without entities, and escapes text for XML.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.errors import InvalidRequestError, UnavailableError

# A page of 5,000 blobs with all their properties has 500,000 tags. Each element takes 100 bytes and more.
_MAX_TAGS: Final = 2_000_000

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NAMESPACE: Final = re.compile(rb"""\sxmlns\s*=\s*("[^"]*"|'[^']*')""")

# What identifies a document whose root has another name. AWS's SDKs ignore that name, so servers differ in it:
# rclone serve s3 answers InitiateMultipartUpload, moto ListPartsResponse.
# https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
_MARKS: Final[Mapping[str, frozenset[str]]] = {
    "CompleteMultipartUploadResult": frozenset({"ETag", "Location"}),
    "CopyObjectResult": frozenset({"ETag"}),
    "CopyPartResult": frozenset({"ETag"}),
    "DeleteResult": frozenset({"Deleted", "Error"}),
    "InitiateMultipartUploadResult": frozenset({"UploadId"}),
    "ListBucketResult": frozenset({"IsTruncated", "Contents", "CommonPrefixes"}),
    "ListMultipartUploadsResult": frozenset({"IsTruncated", "Upload", "CommonPrefixes"}),
    "ListPartsResult": frozenset({"IsTruncated", "Part"}),
    "ListVersionsResult": frozenset({"IsTruncated", "Version", "DeleteMarker", "CommonPrefixes"}),
    "Tagging": frozenset({"TagSet"}),
}

# https://www.w3.org/TR/xml/#charsets
_IMPOSSIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(body: bytes) -> ET.Element | None:
    """
    Return the root element; ``None`` if *body* is not acceptable XML.

    Namespaces are removed from the names of elements.
    Replies come from the network, so a document type, which could define entities, is refused.
    The white space that S3 sends before a slow reply and the byte order mark that Azure
    sends are skipped.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not body.startswith(b"<") or b"<!DOCTYPE" in body or body.count(b"<") > _MAX_TAGS:
        return None
    # A fixed encoding, so that UTF-16 cannot hide a document type from the check.
    parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - entities need a document type
    # Almost all documents have one, and names without it are found faster.
    plain = _NAMESPACE.sub(b"", body, count=1)
    try:
        parser.feed(plain)
        root: ET.Element = parser.close()
    except (ET.ParseError, ValueError, LookupError):
        return None
    if b"xmlns" in plain:
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    return root


def error_in(body: bytes) -> ET.Element | None:
    """
    Return the element ``Error`` that *body* is; ``None`` if it is something else.
    """
    root = parse(body)
    return None if root is None or root.tag != "Error" else root


def expect(body: bytes, tag: str) -> ET.Element:
    """
    Return the root element, which must be *tag*, or another one with the content of *tag*.

    Raises:
        UnavailableError: It is another document, or *body* is not XML.
    """
    root = parse(body)
    if root is None or not is_document(root, tag):
        raise UnavailableError(f"the reply is not a valid {tag} document")
    return root


def is_document(root: ET.Element, tag: str) -> bool:
    """
    Return whether *root* is *tag*, or has another name and what only *tag* has in it.
    """
    if root.tag == tag:
        return True
    if root.tag == "Error" or root.tag in _MARKS:
        # A server that does not know a parameter answers with another document.
        return False
    marks = _MARKS.get(tag, frozenset())
    return any(item.tag in marks for item in root)


def child(element: ET.Element | None, tag: str) -> str | None:
    """
    Return the text of the first child *tag*; ``None`` if it is missing.
    """
    return None if element is None else element.findtext(tag)


def text_of(element: ET.Element, tag: str) -> str:
    """
    Return the text of the required child *tag*.

    Raises:
        UnavailableError: It is missing.
    """
    text = element.findtext(tag)
    if text is None:
        raise UnavailableError(f"the reply has a {element.tag} without {tag}")
    return text


@contextmanager
def collector_paused() -> Iterator[None]:
    """
    Pause the garbage collector while a page of a listing is parsed.
    """
    # A page is thousands of short-lived elements. Every few hundred of them would trigger a
    # collection, which also scans the pages that the caller has kept: half the time of a long listing.
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def can_carry(text: str) -> bool:
    """
    Return whether XML 1.0 can contain *text*, escaped if needed.
    """
    return _IMPOSSIBLE.search(text) is None


def escaped(text: str) -> str:
    """
    Return *text* as the content of an element.
    """
    # XML parsers normalize unescaped line ends and tabs.
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"})


def tag_set(tags: Mapping[str, str]) -> str:
    """
    Return the element that sets the tags of an object.

    Raises:
        InvalidRequestError: XML cannot carry one of them.
    """
    for text in (*tags.keys(), *tags.values()):
        if not can_carry(text):
            raise InvalidRequestError(f"tags are sent as XML, which cannot carry {text!r}: remove control characters")
    pairs = [f"<Tag><Key>{escaped(key)}</Key><Value>{escaped(value)}</Value></Tag>" for key, value in tags.items()]
    return f"<TagSet>{''.join(pairs)}</TagSet>"


def tags_in(root: ET.Element) -> dict[str, str]:
    """
    Return the tags in a reply that has such an element.
    """
    return {item.findtext("Key") or "": item.findtext("Value") or "" for item in root.iterfind("TagSet/Tag")}

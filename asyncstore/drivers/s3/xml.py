"""
The XML that S3 writes and reads.

Documents come from a server: they are parsed without a DTD, so no entity of theirs
is ever expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.errors import UnavailableError

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

# What XML 1.0 cannot say, escaped or not: https://www.w3.org/TR/xml/#charsets
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class ErrorFacts(NamedTuple):
    """
    What an error document says.
    """

    code: str | None = None
    message: str | None = None
    region: str | None = None
    request_id: str | None = None


def parse(document: bytes) -> ET.Element:
    """
    Return the root of a document.

    Raises:
        UnavailableError: It is no XML, or has a DTD.
    """
    # Only a DTD can define entities; no reply of S3 has one.
    if b"<!DOCTYPE" in document[:1024]:
        raise UnavailableError("the reply has a document type, which S3 never sends", retryable=False)
    try:
        return ET.fromstring(document)  # noqa: S314 - no DTD gets here, and expat bounds the rest
    except ET.ParseError:
        raise UnavailableError("the reply is not the XML that it should be") from None


def error(document: bytes) -> ErrorFacts:
    """
    Read an error document; what is none says nothing.
    """
    try:
        root = parse(document.strip())
    except UnavailableError:
        return ErrorFacts()
    if name(root) != "Error":
        return ErrorFacts()
    said = texts(root)
    return ErrorFacts(said.get("Code"), said.get("Message"), said.get("Region"), said.get("RequestId"))


def name(element: ET.Element) -> str:
    """
    Return the name of *element* without its namespace.
    """
    return element.tag.rpartition("}")[2]


def texts(element: ET.Element) -> dict[str, str]:
    """
    Return the texts of the children of *element* by their names.
    """
    return {child.tag.rpartition("}")[2]: child.text or "" for child in element}


def children(root: ET.Element, wanted: str) -> Iterator[ET.Element]:
    """
    Yield the children of *root* with this name, in any namespace.
    """
    return (child for child in root if name(child) == wanted)


def speakable(key: str) -> bool:
    """
    Whether XML can carry *key*.
    """
    return _UNSPEAKABLE.search(key) is None


def delete(keys: Sequence[str]) -> bytes:
    """
    Return the document that asks for these keys to be deleted.
    """
    # A parser makes a line feed of a carriage return unless it is written as a reference.
    objects = "".join(f"<Object><Key>{escape(key, {chr(13): '&#13;'})}</Key></Object>" for key in keys)
    return f'<Delete xmlns="{_NAMESPACE}"><Quiet>true</Quiet>{objects}</Delete>'.encode()


def complete(parts: Sequence[Sequence[tuple[str, str]]]) -> bytes:
    """
    Return the document that completes an upload, from the fields of each part.
    """
    inner = "".join(
        f"<Part>{''.join(f'<{field}>{escape(value)}</{field}>' for field, value in part)}</Part>" for part in parts
    )
    return f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{inner}</CompleteMultipartUpload>'.encode()

"""
Writing and parsing XML documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.testing.servers.gcs.errors import ServiceError

#: For the S3-compatible replies: https://cloud.google.com/storage/docs/xml-api/reference-methods
S3_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
NAMESPACE: Final = "http://doc.s3.amazonaws.com/2006-03-01"

_HEAD: Final = "<?xml version='1.0' encoding='UTF-8'?>"


def document(name: str, parts: Iterable[str], namespace: str = S3_NAMESPACE) -> str:
    """
    Return a document whose root contains *parts*, which are XML.
    """
    return f'{_HEAD}<{name} xmlns="{namespace}">{"".join(parts)}</{name}>'


def element(name: str, value: object) -> str:
    """
    Return an element with text.
    """
    return f"<{name}>{escape(str(value))}</{name}>"


def group(name: str, parts: Iterable[str]) -> str:
    """
    Return an element that contains other elements.
    """
    return f"<{name}>{''.join(parts)}</{name}>"


def parse(data: bytes) -> ET.Element:
    """
    Return the root of a document, with all namespaces removed.

    Raises:
        ServiceError: The data is not XML, or declares entities.
    """
    # Nested entities can expand a small document to a huge one.
    if b"<!" in data:
        raise malformed()
    try:
        root = ET.fromstring(data)  # noqa: S314 - entity declarations are refused above
    except ET.ParseError:
        raise malformed() from None
    for found in root.iter():
        found.tag = found.tag.rpartition("}")[2]
    return root


def malformed() -> ServiceError:
    message = "The XML you provided was not well-formed or did not validate against our published schema."
    return ServiceError(400, "invalid", "MalformedXML", message)

"""
XML documents, written and read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.testing.servers.gcs.errors import ServiceError

#: Of what is compatible with S3: https://cloud.google.com/storage/docs/xml-api/reference-methods
S3_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
NAMESPACE: Final = "http://doc.s3.amazonaws.com/2006-03-01"

_HEAD: Final = "<?xml version='1.0' encoding='UTF-8'?>"


def document(name: str, parts: Iterable[str], namespace: str = S3_NAMESPACE) -> str:
    """
    Return a document whose root has *parts*, which are XML.
    """
    return f'{_HEAD}<{name} xmlns="{namespace}">{"".join(parts)}</{name}>'


def element(name: str, value: object) -> str:
    """
    Return one element with text.
    """
    return f"<{name}>{escape(str(value))}</{name}>"


def group(name: str, parts: Iterable[str]) -> str:
    """
    Return one element with others in it.
    """
    return f"<{name}>{''.join(parts)}</{name}>"


def parse(data: bytes) -> ET.Element:
    """
    Return the root of a document, with all namespaces taken off.

    Raises:
        ServiceError: It is no XML, or declares entities.
    """
    # Entities that contain each other make a small document huge.
    if b"<!" in data:
        raise malformed()
    try:
        root = ET.fromstring(data)  # noqa: S314 - it declares nothing, see above
    except ET.ParseError:
        raise malformed() from None
    for found in root.iter():
        found.tag = found.tag.rpartition("}")[2]
    return root


def malformed() -> ServiceError:
    message = "The XML you provided was not well-formed or did not validate against our published schema."
    return ServiceError(400, "invalid", "MalformedXML", message)

"""
The XML of GCS: replies read without entities, requests written without surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.errors import UnavailableError

_NAMESPACE: Final = re.compile(rb"""\sxmlns\s*=\s*("[^"]*"|'[^']*')""")


def parse(body: bytes) -> ET.Element | None:
    """
    Return the root element, its names without a namespace; ``None`` if this is no XML of theirs.

    Replies come from the network, so a document type is refused: it is where entities are defined.
    """
    body = body.lstrip()
    if not body.startswith(b"<") or b"<!DOCTYPE" in body:
        return None
    # The encoding is given, or UTF-16 could hide a document type from the check.
    parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - nothing is defined without a document type
    try:
        parser.feed(_NAMESPACE.sub(b"", body, count=1))
        root: ET.Element = parser.close()
    except (ET.ParseError, ValueError, LookupError):
        return None
    return root


def expect(body: bytes, tag: str) -> ET.Element:
    """
    Return the root element, which must be *tag*.

    Raises:
        UnavailableError: It is not.
    """
    root = parse(body)
    if root is None or root.tag != tag:
        raise UnavailableError(f"the reply is not the {tag} that was expected")
    return root


def child(element: ET.Element, tag: str) -> str | None:
    """
    Return the text of the first child *tag*; ``None`` if there is none.
    """
    return element.findtext(tag)


def text_of(element: ET.Element, tag: str) -> str:
    """
    Return the text of a child that has to be there.

    Raises:
        UnavailableError: It is not there.
    """
    text = element.findtext(tag)
    if text is None:
        raise UnavailableError(f"the reply has a {element.tag} without {tag}")
    return text


def completion(parts: Iterable[tuple[int, str]]) -> bytes:
    """
    Return the body that completes an upload, from the number and ETag of each part.
    """
    elements = [
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{escape(etag)}"</ETag></Part>' for number, etag in parts
    ]
    return f"<CompleteMultipartUpload>{''.join(elements)}</CompleteMultipartUpload>".encode()

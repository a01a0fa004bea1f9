"""
XML that came from a server: read once for all drivers, without entities.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from asyncstore.errors import UnavailableError

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NAMESPACE: Final = re.compile(rb"""\sxmlns\s*=\s*("[^"]*"|'[^']*')""")

# https://www.w3.org/TR/xml/#charsets
_IMPOSSIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(body: bytes) -> ET.Element | None:
    """
    Return the root element, its names without a namespace; ``None`` if this is no XML of a provider.

    Replies come from the network, so a document type is refused: it is where
    entities are defined. The white space that S3 sends before a reply that
    takes long is skipped, and the byte order mark that Azure sends.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK).lstrip()
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


def child(element: ET.Element | None, tag: str) -> str | None:
    """
    Return the text of the first child *tag*; ``None`` if there is none.
    """
    return None if element is None else element.findtext(tag)


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


def can_carry(text: str) -> bool:
    """
    Tell whether XML 1.0 can carry *text*, escaped or not.
    """
    return _IMPOSSIBLE.search(text) is None

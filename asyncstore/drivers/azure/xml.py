"""
The XML of Azure: replies read without entities, requests written without surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.errors import UnavailableError

_DECLARED: Final = '<?xml version="1.0" encoding="utf-8"?>'
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# https://www.w3.org/TR/xml/#charsets
_IMPOSSIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(body: bytes) -> ET.Element | None:
    """
    Return the root element; ``None`` if this is no XML of the service.

    Replies come from the network, so a document type is refused: it is where
    entities are defined.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not body.startswith(b"<") or b"<!DOCTYPE" in body:
        return None
    # The encoding is given, or UTF-16 could hide a document type from the check.
    parser = ET.XMLParser(encoding="utf-8")  # noqa: S314 - nothing is defined without a document type
    try:
        parser.feed(body)
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


def name_of(item: ET.Element) -> str:
    """
    Return the name of a blob or prefix, which is encoded where XML could not carry it.

    Raises:
        ValueError: It has none.
    """
    element = item.find("Name")
    if element is None or not element.text:
        raise ValueError("no name")
    return unquote(element.text, errors="strict") if element.get("Encoded") == "true" else element.text


def can_carry(text: str) -> bool:
    """
    Tell whether XML 1.0 can carry *text*, escaped or not.
    """
    return _IMPOSSIBLE.search(text) is None


def block_list(ids: Iterable[str]) -> bytes:
    """
    Return the body that commits uncommitted blocks, from their ids in base64.
    """
    blocks = "".join([f"<Uncommitted>{name}</Uncommitted>" for name in ids])
    return f"{_DECLARED}<BlockList>{blocks}</BlockList>".encode()


def tag_set(tags: Mapping[str, str]) -> bytes:
    """
    Return the body that gives a blob *tags*, each of which :func:`can_carry`.
    """
    pairs = [f"<Tag><Key>{_escaped(key)}</Key><Value>{_escaped(value)}</Value></Tag>" for key, value in tags.items()]
    return f"{_DECLARED}<Tags><TagSet>{''.join(pairs)}</TagSet></Tags>".encode()


def key_info(start: str, expiry: str) -> bytes:
    """
    Return the body that asks for a user delegation key.
    """
    return f"{_DECLARED}<KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>".encode()


def _escaped(text: str) -> str:
    # A bare line end or tab reads as white space of the document's own.
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"})

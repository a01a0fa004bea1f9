"""
The XML of Azure's requests, written without surprises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

_DECLARED: Final = '<?xml version="1.0" encoding="utf-8"?>'


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

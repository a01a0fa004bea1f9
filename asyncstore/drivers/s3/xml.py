"""
The XML of S3: replies read without entities, requests written without surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from asyncstore.errors import UnavailableError

_NAMESPACE: Final = re.compile(rb"""\sxmlns\s*=\s*("[^"]*"|'[^']*')""")
_DECLARED: Final = b'<?xml version="1.0" encoding="UTF-8"?>'

# https://www.w3.org/TR/xml/#charsets
_IMPOSSIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(body: bytes) -> ET.Element | None:
    """
    Return the root element, its names without a namespace; ``None`` if this is no XML of ours.

    Replies come from the network, so a document type is refused: it is where
    entities are defined. The white space that S3 sends before a reply that
    takes long is skipped.
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


def deletion(keys: Iterable[str]) -> bytes:
    """
    Return the body that deletes *keys*, each of which :func:`can_carry`.
    """
    objects = "".join([f"<Object><Key>{_escaped(key)}</Key></Object>" for key in keys])
    return _document("Delete", f"<Quiet>true</Quiet>{objects}")


def completion(parts: Iterable[Iterable[tuple[str, str]]]) -> bytes:
    """
    Return the body that completes an upload, from the fields of each part.
    """
    elements = [
        "<Part>" + "".join([f"<{name}>{_escaped(value)}</{name}>" for name, value in part]) + "</Part>"
        for part in parts
    ]
    return _document("CompleteMultipartUpload", "".join(elements))


def tag_set(tags: Mapping[str, str]) -> bytes:
    """
    Return the body that gives an object *tags*, each of which :func:`can_carry`.
    """
    pairs = [f"<Tag><Key>{_escaped(key)}</Key><Value>{_escaped(value)}</Value></Tag>" for key, value in tags.items()]
    return _document("Tagging", f"<TagSet>{''.join(pairs)}</TagSet>")


def _document(tag: str, content: str) -> bytes:
    return _DECLARED + f'<{tag} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{tag}>'.encode()


def _escaped(text: str) -> str:
    # A bare line end or tab reads as white space of the document's own.
    return escape(text, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;", '"': "&quot;"})

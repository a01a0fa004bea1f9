"""
The XML of S3's requests, written without surprises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from xml.sax.saxutils import escape

_DECLARED: Final = b'<?xml version="1.0" encoding="UTF-8"?>'


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

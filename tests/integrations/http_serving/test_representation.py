"""
Headers that say what an object is.
"""

from __future__ import annotations

import pytest

from asyncstore import parse_uri
from asyncstore.integrations.http_serving.representation import Presentation, content_disposition
from asyncstore.types import Metadata


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.txt", 'attachment; filename="a.txt"'),
        ("a b;c,d.txt", 'attachment; filename="a b;c,d.txt"'),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("ä€.txt", "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A4%E2%82%AC.txt"),
        ("a\r\nSet-Cookie: b", 'attachment; filename="a  Set-Cookie: b"'),
        ("\ud800.txt", "attachment; filename=\"_.txt\"; filename*=UTF-8''%3F.txt"),
        ("", "attachment"),
    ],
)
def test_content_disposition(name: str, header: str) -> None:
    """
    As https://www.rfc-editor.org/rfc/rfc6266 says, never with a second header in it.
    """
    assert content_disposition(name) == header


def test_disposition_is_a_word() -> None:
    with pytest.raises(ValueError, match="a word such as attachment"):
        content_disposition("a", "attachment; x")


@pytest.mark.parametrize(
    ("stored", "key", "sent"),
    [
        ("image/png", "a.txt", "image/png"),
        (None, "a.txt", "text/plain"),
        ("binary/octet-stream", "a.json", "application/json"),
        ("application/octet-stream", "a.json", "application/json"),
        (None, "a", "application/octet-stream"),
        ("text/plain\r\nX: y", "a", "text/plain  X: y"),
        ("text/€", "a", "text/?"),
    ],
)
def test_content_type(stored: str | None, key: str, sent: str) -> None:
    """
    The stored one, unless that is what a provider stores where it was given none.
    """
    info = Metadata(uri=parse_uri("memory://bucket") / key, size=0, content_type=stored)

    assert Presentation().headers(info)["Content-Type"] == sent

"""
The fast path for listing pages returns what the XML parser returns, or leaves the page to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstore.drivers.s3 import entries, listing
from asyncstore.errors import UnavailableError
from asyncstore.types import ListPage
from asyncstore.uri import parse_uri

BUCKET = parse_uri("s3://bucket")
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
OWNER = "<Owner><ID>me</ID><Key>not a key</Key></Owner>"
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.006Z</LastModified>"
    "<ETag>&quot;{tag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)

_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
_fields = st.permutations(["Key", "LastModified", "ETag", "Size", "StorageClass", "Owner", "ChecksumAlgorithm"])


def page(contents: str, *, more: str = "") -> bytes:
    return f"{HEAD}<IsTruncated>false</IsTruncated>{more}{contents}</ListBucketResult>".encode()


def read(body: bytes) -> ListPage:
    return listing._page(body, BUCKET)[0]


def read_slowly(body: bytes) -> ListPage:
    # White space before an entry is valid XML, but sends the page to the parser.
    changed = body.replace(b"<Contents>", b" <Contents>")
    assert entries.cut(changed)[0] == [] or changed.count(b"<Contents>") == 1
    return read(changed)


@st.composite
def _pages(draw: st.DrawFn) -> bytes:
    order = draw(_fields)
    shown = order if draw(st.booleans()) else [name for name in order if name not in ("Owner", "StorageClass")]
    return page("".join(draw(st.lists(_entries(shown), max_size=5))), more=draw(st.sampled_from(["", _url()])))


def _url() -> str:
    return "<EncodingType>url</EncodingType>"


@st.composite
def _entries(draw: st.DrawFn, order: Sequence[str]) -> str:
    values = {
        "Key": escape(draw(_text.filter(lambda text: "%" not in text)) or "key"),
        "LastModified": "2026-01-02T03:04:05Z",
        "ETag": draw(st.sampled_from(["&quot;tag&quot;", "&#34;tag-2&#34;", '"tag"', "tag", "&#x22;tag&#x22;", ""])),
        "Size": str(draw(st.integers(0, 10**13))),
        "StorageClass": draw(st.sampled_from(["STANDARD", "A &amp; B"])),
        "Owner": "<ID>me</ID><Key>no</Key>",
        "ChecksumAlgorithm": "CRC64NVME",
    }
    return "<Contents>" + "".join([f"<{name}>{values[name]}</{name}>" for name in order]) + "</Contents>"


@given(_pages())
@example(page(ENTRY.format(key="a&quot;b", tag="x", size=1) * 2))
@example(page(ENTRY.format(key="a\r\nb", tag="x", size=1) * 2))
@example(page(ENTRY.format(key="a<!-- no -->b", tag="x", size=1) * 2))
@example(page(ENTRY.format(key="a<![CDATA[<&>]]>b", tag="x", size=1) * 2))
@example(
    page(ENTRY.format(key="a", tag="x", size=1) + ENTRY.format(key="b", tag="y", size="").replace("<Size></Size>", ""))
)
@example(page(ENTRY.format(key="a", tag="x", size=1).replace("<Size>", OWNER + "<Size>") * 3))
@example(page(ENTRY.format(key="a", tag="x", size=1).replace("<Key>", '<Key lang="de">') * 3))
def test_same_as_the_parser(body: bytes) -> None:
    assert read_slowly(body) == read(body)


def test_usual_page_needs_no_parser() -> None:
    """
    Pages like those of AWS take the fast path; without this test it could be dead code.
    """
    body = page("".join([ENTRY.format(key=f"k%2B{number}", tag="x", size=number) for number in range(9)]), more=_url())

    rows, rest = entries.cut(body)

    assert 9 == len(rows)
    assert ET.fromstring(rest).find("Contents") is None
    assert [f"k+{number}" for number in range(9)] == [entry.key for entry in read(body).objects]


def test_prefixes_between_entries() -> None:
    """
    Objects and prefixes that a server mixes are returned in order.
    """
    entry = ENTRY.format(key="c", tag="x", size=1)
    body = page(f"{ENTRY.format(key='a', tag='x', size=1)}<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>{entry}")

    assert ["a", "b/", "c"] == [entry.key for entry in read(body).objects]


@pytest.mark.parametrize("size", ["many", "1.5", "0x10"])
def test_invalid_entry(size: str) -> None:
    with pytest.raises(UnavailableError, match="invalid entry"):
        read(page(ENTRY.format(key="a", tag="x", size=size) * 2))


@pytest.mark.parametrize("body", [b"", b"<ListBucketResult>", page(ENTRY.format(key="a", tag="x", size=1) * 2)[:-30]])
def test_page_that_is_cut_short(body: bytes) -> None:
    with pytest.raises(UnavailableError):
        read(body)


def test_empty_key() -> None:
    with pytest.raises(UnavailableError, match="key is empty"):
        read(page(ENTRY.format(key="", tag="x", size=1) * 2))

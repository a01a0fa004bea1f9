"""
Globs of keys: what they match, and which requests they take.
"""

import glob

import pytest

from asyncstore.driver import ForwardingDriver
from asyncstore.errors import InvalidRequestError
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.storage.globs import key_pattern
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage
from asyncstore.uri import ObjectURI


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", ".a", "a.b"], ["a/b", "a/"]),
        ("a?c", ["abc", "a.c"], ["a/c", "ac"]),
        ("a/*/c", ["a/b/c", "a//c"], ["a/b/b/c", "a/c"]),
        ("**", ["a", "a/b", "a/b/", "a\nb"], []),
        ("**/c", ["c", "a/c", "a/b/c"], ["a/bc", "c/a"]),
        ("a/**/c", ["a/c", "a/b/c", "a/b/b/c"], ["ac", "b/a/c"]),
        ("a/**", ["a/b", "a/b/c", "a/"], ["a", "ab"]),
        ("[ab]*", ["a", "b1"], ["c", "A"]),
        ("[!ab]", ["c", "^"], ["a", "/"]),
        ("[a-c]", ["b"], ["d", "-"]),
        ("[]]", ["]"], ["["]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[\\d]", ["\\", "d"], ["5"]),
        ("[a", ["[a"], ["a"]),
        ("a.b+(c)", ["a.b+(c)"], ["axb+(c)"]),
        (glob.escape("a*[1]?"), ["a*[1]?"], ["ab1c"]),
    ],
)
def test_grammar(pattern: str, matching: list[str], others: list[str]) -> None:
    """
    Wildcards of the shell, with ** for any number of levels.
    """
    compiled = key_pattern(pattern)

    assert [key for key in [*matching, *others] if compiled.fullmatch(key)] == matching


@pytest.mark.parametrize(
    ("pattern", "reason"), [("", "empty"), ("a**/b", "stand alone"), ("memory://bucket/*", "relative to the root")]
)
async def test_invalid(storage: Storage, faults: FaultyDriver, pattern: str, reason: str) -> None:
    """
    A pattern that means nothing is refused before a request.
    """
    with pytest.raises(InvalidRequestError, match=reason):
        [info async for info in storage.glob(pattern)]

    assert faults.calls.total() == 0


@pytest.mark.parametrize(
    ("pattern", "prefixes"),
    [
        ("logs/2026-*/error.txt", ["logs/2026-", "logs/2026-01/error.txt", "logs/2026-02/error.txt"]),
        ("logs/**/*.txt", ["logs/"]),
        ("logs/*", ["logs/"]),
        ("*/2026-01/e*", ["", "logs/2026-01/e"]),
        ("logs/*-02/**", ["logs/", "logs/2025-02/", "logs/2026-02/"]),
    ],
)
async def test_requests(storage: Storage, pattern: str, prefixes: list[str]) -> None:
    """
    Only prefixes that can match are listed, each once.
    """
    for year in (2025, 2026):
        for month in (1, 2):
            for name in ("error.txt", "old/info.txt"):
                await storage.put(f"logs/{year}-{month:02}/{name}", b"")
    listed: list[str] = []

    class Recording(ForwardingDriver):
        async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
            listed.append(prefix.key)
            return await super().list_page(prefix, options, token)

    found = [info.key async for info in storage.wrapped(Recording).glob(pattern)]

    assert found == sorted(found)
    assert sorted(listed) == prefixes

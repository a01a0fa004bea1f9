"""
Keys that GitHub would rename or git would reject are refused before any request.
"""

from __future__ import annotations

import pytest

from asyncstore.drivers.github.names import MAX_NAME, Name, checked, split, temporary
from asyncstore.errors import InvalidRequestError, InvalidURIError, NotFoundError
from asyncstore.testing.servers.github import GitHubServer
from asyncstore.testing.servers.github.names import is_tag, stored_name
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.github.fixtures import assets, opened

GOOD = ["a", "a.txt", "a-b_c.d+e@f.tar.gz", "UPPER", "0", "x" * MAX_NAME]
BAD = ["a b", "a~b", ".hidden", "end.", "a..b", "(1)", "café", "a:b", "a%20b", "x" * (MAX_NAME + 1), "a\\b", "a#b", "*"]
GOOD_TAGS = ["v1", "v1.0.0-rc.1+build", "a/b/c", "1", "ünï", "x@y", "latest", "t" * MAX_NAME]
BAD_TAGS = [
    "a b", "a..b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "/a", "a//b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b",
    "@", "a@{b", "-a", "a\x7f", "t" * (MAX_NAME + 1), "",
]  # fmt: skip


def uri(tag: str, name: str) -> ObjectURI:
    return parse_uri("github://octocat/hello").with_key(f"{tag}/{name}")


@pytest.mark.parametrize("name", GOOD)
def test_names_github_keeps(name: str) -> None:
    """Names that GitHub stores unchanged are accepted."""
    assert checked(uri("v1", name)) == Name("v1", name)
    assert stored_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_names_github_changes(name: str) -> None:
    """Names that GitHub would rename or reject are refused."""
    with pytest.raises(InvalidURIError):
        checked(uri("v1", name))


@pytest.mark.parametrize("tag", GOOD_TAGS)
def test_tags(tag: str) -> None:
    """A tag may contain slashes; the last slash of a key separates tag and name."""
    assert checked(uri(tag, "a.txt")) == Name(tag, "a.txt")
    assert is_tag(tag)


@pytest.mark.parametrize("tag", BAD_TAGS)
def test_tags_that_git_refuses(tag: str) -> None:
    """Tags that git rejects are refused."""
    with pytest.raises(InvalidURIError):
        checked(uri(tag, "a.txt"))
    assert not is_tag(tag)


@pytest.mark.parametrize("key", ["a.txt", "v1/", "/a.txt", "/"])
def test_keys_that_name_no_asset(key: str) -> None:
    """A key without a tag or without a name is not an asset."""
    assert split(parse_uri("github://octocat/hello").with_key(key)) is None


@pytest.mark.parametrize("name", GOOD)
def test_temporary_names(name: str) -> None:
    """Temporary names are unique, and GitHub stores them unchanged."""
    first, second = temporary(name), temporary(name)

    assert first != second
    for one in (first, second):
        assert checked(uri("v1", one)) == Name("v1", one)
        assert ".asyncstore-" in one


@pytest.mark.parametrize("key", ["v1/a b", "a b/c", "only-a-name"])
async def test_nothing_is_sent(server: GitHubServer, key: str) -> None:
    """A write to an invalid key makes no request."""
    async with opened(server, "github://octocat/hello") as storage:
        with pytest.raises(InvalidURIError):
            await storage.put(storage.root / key, b"data")

    assert server.requests == []


@pytest.mark.parametrize("verb", ["read", "stat"])
async def test_reading_an_invalid_name(server: GitHubServer, verb: str) -> None:
    """Reading a name that no asset can have raises NotFoundError."""
    async with opened(server) as storage:
        with pytest.raises(NotFoundError):
            await getattr(storage, verb)(storage.root / "a b")
        assert not await storage.exists(storage.root / "dir/")
        await storage.delete(storage.root / "dir/")


async def test_asset_renamed_by_github(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If GitHub renames an asset unexpectedly, the write fails and the asset is deleted."""
    from asyncstore.testing.servers.github import assets as receiving

    monkeypatch.setattr(receiving, "stored_name", lambda name: name.replace("@", "."))

    async with opened(server) as storage:
        with pytest.raises(InvalidRequestError, match=r"'a\.b'"):
            await storage.put(storage.root / "a@b", b"data")

    assert assets(server) == {}

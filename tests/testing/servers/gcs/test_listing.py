"""
Pages of a listing, compared with a naive listing.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncstore.testing.servers.gcs.content import of_bytes
from asyncstore.testing.servers.gcs.listing import Listing, list_page
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.state import Bucket, StoredObject
from asyncstore.testing.servers.gcs.world import World

_TEXT = st.text(alphabet="ab/-\U0001f600", max_size=5)
_NAMES = st.sets(_TEXT.filter(bool), max_size=12)


def bucket_of(names: set[str]) -> Bucket:
    world = World(Settings())
    bucket = world.add_bucket("bucket")
    for name in sorted(names, key=hash):
        stored = StoredObject("bucket", name, world.generation(), of_bytes(b""), {}, 0.0, 0.0)
        bucket.put(stored)
    return bucket


def expected(names: set[str], listing: Listing) -> list[str]:
    """Return the naive listing, in order. Prefixes start with NUL, to tell them from names."""
    found: dict[str, None] = {}
    for name in sorted(names, key=str.encode):
        within = name.startswith(listing.prefix) and name >= listing.start and (not listing.end or name < listing.end)
        if not within:
            continue
        rest = name[len(listing.prefix) :]
        if listing.delimiter and listing.delimiter in rest:
            prefix = listing.prefix + rest[: rest.index(listing.delimiter) + len(listing.delimiter)]
            if listing.trailing_delimiter and name == prefix:
                found[name] = None
            found["\0" + prefix] = None
        else:
            found[name] = None
    return list(found)


@given(
    names=_NAMES,
    prefix=_TEXT,
    delimiter=st.sampled_from(["", "/", "-", "ab"]),
    start=_TEXT,
    end=_TEXT,
    limit=st.integers(1, 4),
    trailing=st.booleans(),
)
def test_pages_are_the_whole_list(
    names: set[str], prefix: str, delimiter: str, start: str, end: str, limit: int, trailing: bool
) -> None:
    """For any options and page size, each name and prefix is listed once, in byte order."""
    bucket = bucket_of(names)
    listing = Listing(prefix=prefix, delimiter=delimiter, start=start, end=end, trailing_delimiter=trailing)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = list_page(
            bucket,
            Listing(
                prefix=prefix,
                delimiter=delimiter,
                start=start,
                end=end,
                after=after,
                limit=limit,
                trailing_delimiter=trailing,
            ),
        )
        # An object and the prefix of the same name share a page, which may exceed the limit by one.
        assert len(page.items) + len(page.prefixes) <= limit + trailing
        names_found = [item.name for item in page.items]
        assert names_found == sorted(names_found)
        assert page.prefixes == sorted(page.prefixes)
        found += names_found + ["\0" + one for one in page.prefixes]
        after = page.after
    assert sorted(found) == sorted(expected(names, listing))
    assert len(found) == len(set(found))


@given(names=_NAMES, limit=st.integers(1, 3), removed=st.sets(_TEXT, max_size=3), added=_NAMES)
def test_changes_between_pages(names: set[str], limit: int, removed: set[str], added: set[str]) -> None:
    """Objects that exist throughout are listed once, whatever changes between pages."""
    bucket = bucket_of(names)
    first = list_page(bucket, Listing(limit=limit))
    for name in removed & names:
        bucket.delete(name, None)
    for stored in bucket_of(added - names).live.values():
        bucket.put(stored)
    found = [item.name for item in first.items]
    if first.after is not None:
        found += [item.name for item in list_page(bucket, Listing(after=first.after)).items]

    assert len(found) == len(set(found))
    assert names - removed <= set(found)

"""
Any key maps to a file below the root, any regular file is an object, and listings are in byte order.
"""

import gc
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstore.config import StorageConfig
from asyncstore.drivers import memory
from asyncstore.drivers.local import walk
from asyncstore.drivers.local.names import Kind, aside, place, places, read_name
from asyncstore.errors import InvalidRequestError, InvalidURIError, NotFoundError
from tests.drivers.calls import Calls, names_in, opened_files

WEIRD = [
    "foo/bar/baz",
    "foo//bar///baz",
    "../foo/../bar/../../baz../",
    "foo\\bar\\baz",
    "..\\foo\\\\bar\\\\\\baz",
    "..\\foo\\..\\bar\\..\\..\\baz..\\",
    'foo"bar"baz',
    "   ",
    "12345",
    "☺☺☺",
    *("".join(map(chr, range(start, start + 16))) for start in range(0, 128, 16)),
    *("a", "a/", "a//", "a/b", "a/b/c", "a-b", "a0", "/", "//", "/a", "...", ".a", "a."),
    *(".", "..", "./a", "../a", "a/..", "a/../b"),
    *("100%.txt", "%00", "%2e%2e", "a%", "é", "e\u0301", "𝄞/𝄞"),
    *(
        ".asyncstore",
        ".asyncstore/tmp/x",
        ".asyncstore-",
        ".asyncstore-ea",
        ".asyncstore-o..",
        ".asyncstore-+a/b",
        ".asyncstored",
    ),
    *("x" * 240, "x" * 241, "x" * 255, "x" * 256, "x" * 1024, "x" * 255 + "/y", "x" * 256 + "/y"),
    *("é" * 127, "é" * 128, "é" * 511 + "/y", "%" * 300, "\0" * 300, "a/" * 500),
]
segments = st.text(st.sampled_from("ab.%\0-é\\") | st.characters(exclude_categories=["Cs"]), max_size=6)
segments |= st.sampled_from([".asyncstore", ".asyncstore-e", ".asyncstore-+", "..", ".", "", "b" * 250, "é" * 300])
few_keys = st.lists(
    st.text(st.sampled_from("ab/-0.\0é"), min_size=1, max_size=5)
    | st.sampled_from(["a" * 300, "a" * 250 + "/b", ".."]),
    max_size=12,
    unique=True,
)


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return opened_files(tmp_path / "root")


@given(segment=segments.filter(lambda text: "/" not in text))
def test_names_are_reversible(segment: str) -> None:
    """The name of a segment on disk is valid, and maps back to the segment."""
    for kind, names in ((Kind.PLACE, place(segment)), (Kind.ASIDE, aside(segment))):
        carried = ""
        for name in names[:-1]:
            assert (Kind.MORE, carried + name.removeprefix(".asyncstore-+")) == read_name(name, carried)
            carried += name.removeprefix(".asyncstore-+")
        assert (kind, segment) == read_name(names[-1], carried)
        assert all(0 < len(name.encode()) <= 255 and name not in (".", "..", ".asyncstore") for name in names)
        assert not any("\0" in name or "/" in name for name in names)


@pytest.mark.parametrize(
    "name",
    [".asyncstore", ".asyncstore-", ".asyncstore-x", ".asyncstore-eplain", ".asyncstore-o" + "x" * 241, "\udcff"],
)
def test_foreign_names_are_ignored(name: str) -> None:
    """A name that the driver would not choose, or that is not UTF-8, is ignored."""
    assert read_name(name) is None


def test_ordinary_keys_have_ordinary_names() -> None:
    """Only segments that a file system cannot store are escaped."""
    assert places("a/b c/100%.txt")[0] == ("a", "b c", "100%.txt")


async def test_weird_keys_live_side_by_side(calls: Calls, tmp_path: Path) -> None:
    """Any key can be written, read, listed and deleted verbatim, and nothing is outside the root."""
    for key in WEIRD:
        await calls.put(key, key.encode(), metadata={"n": "v"})

    for key in WEIRD:
        assert await calls.read(key) == key.encode()
        assert (await calls.stat(key)).metadata == {"n": "v"}
    for size in (1, 7, 1000):
        assert sorted(WEIRD) == await calls.keys(page_size=size)
    assert names_in(tmp_path) == ["root"]
    for key in WEIRD:
        await calls.delete(key)
    assert names_in(tmp_path / "root") == [".asyncstore"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=few_keys,
    prefix=st.text(st.sampled_from("ab/-."), max_size=3),
    delimiter=st.none() | st.sampled_from(["/", "a", "-/", "b/"]),
    start_after=st.none() | st.text(st.sampled_from("ab/-0"), min_size=1, max_size=3),
    size=st.integers(1, 4),
)
async def test_listing_is_that_of_memory(
    tmp_path_factory: pytest.TempPathFactory,
    keys: list[str],
    prefix: str,
    delimiter: str | None,
    start_after: str | None,
    size: int,
) -> None:
    """Listings have the same entries and pages as those of the memory driver, which refuses two names."""
    keys = [key for key in keys if key not in (".", "..")]
    config = StorageConfig.build("memory://b", {})
    files = opened_files(tmp_path_factory.mktemp("root"))
    model = Calls(memory.open_driver(config), config.uri)
    for key in keys:
        await model.put(key, b"")
        await files.put(key, b"")

    options = {"delimiter": delimiter, "start_after": start_after, "page_size": size}
    assert await model.keys(prefix, **options) == await files.keys(prefix, **options)


async def test_ordinary_tree_is_readable(calls: Calls, tmp_path: Path) -> None:
    """Existing files are objects under their own names; reading changes nothing on disk."""
    for name in ("a.txt", "b/c.txt", "b/.hidden", "b/d e/f%20g"):
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "root/empty/dir").mkdir(parents=True)
    os.mkfifo(tmp_path / "root/pipe")
    (tmp_path / "root/link").symlink_to("a.txt")
    Path(os.fsdecode(bytes(tmp_path / "root") + b"/\xff")).write_text("not UTF-8")

    found = await calls.objects()

    assert found == {name: name.encode() for name in ("a.txt", "b/.hidden", "b/c.txt", "b/d e/f%20g")}
    assert not (tmp_path / "root/.asyncstore").exists()
    with pytest.raises(NotFoundError):
        await calls.read("pipe")
    with pytest.raises(NotFoundError):
        await calls.read("b")
    with pytest.raises(InvalidRequestError):
        await calls.put("pipe")


async def test_a_file_gives_way_to_a_directory(calls: Calls, tmp_path: Path) -> None:
    """``a`` stays the same object, with its ETag and metadata, when ``a/b`` is written."""
    before = await calls.put("a", b"outer", metadata={"k": "v"})

    await calls.put("a/b", b"inner")

    after = await calls.stat("a")
    assert (before.etag, {"k": "v"}) == (after.etag, after.metadata)
    assert await calls.objects() == {"a": b"outer", "a/b": b"inner"}
    assert (tmp_path / "root/a/b").read_bytes() == b"inner"
    await calls.put("a", b"new", if_match=before.etag)
    await calls.delete("a/b")
    await calls.put("a", b"newer")
    assert await calls.objects() == {"a": b"newer"}
    await calls.delete("a")
    assert names_in(tmp_path / "root") == [".asyncstore"]


async def test_no_key_is_outside_of_the_root(calls: Calls, tmp_path: Path) -> None:
    """A URI that is not below the root is refused, and the error names the root."""
    outside = Calls(calls.driver, opened_files(tmp_path).root)

    for key in ("other", "root2/x", "root"):
        with pytest.raises(InvalidURIError, match="root"):
            await outside.read(key)
    with pytest.raises(InvalidURIError):
        await outside.keys("ro")
    with pytest.raises(InvalidURIError):
        await outside.keys("root2/")


async def test_root_that_is_missing(calls: Calls) -> None:
    """A missing root is not an empty one; the first write creates it."""
    with pytest.raises(NotFoundError, match="first write"):
        await calls.keys()
    with pytest.raises(NotFoundError):
        await calls.stat("a")
    await calls.delete("a")

    await calls.put("a")

    assert await calls.keys() == ["a"]
    assert await calls.keys("none/") == []


async def test_start_after_can_be_a_whole_key(calls: Calls) -> None:
    """``ObjectInfo.key`` can be passed as start_after."""
    infos = [await calls.put(key) for key in ("a", "b", "c")]

    assert await calls.keys(start_after=infos[0].key) == ["b", "c"]


@pytest.mark.timeout(240)
async def test_large_tree(calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 files, most in one directory, are listed in byte order without holding all names."""
    monkeypatch.setattr(walk, "WINDOW", 4096)
    names = [f"many/{number:x}" for number in range(40_000)]
    names += [f"few{number % 97}/{number % 7}-/{number}" for number in range(10_000)]
    for name in names:
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    names.sort()
    gc.collect()
    tracemalloc.start()

    seen = 0
    page, token = await calls.page()
    while True:
        assert names[seen : seen + len(page)] == page
        seen += len(page)
        if token is None:
            break
        page, token = await calls.page(token=token)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert seen == 50_000
    assert peak < 6_000_000
    assert await calls.keys(delimiter="/") == sorted({name.partition("/")[0] + "/" for name in names})


async def test_listing_sees_what_is_written_between_pages(calls: Calls, tmp_path: Path) -> None:
    """A cached directory is read again after it has changed."""
    for number in range(0, 600, 2):
        file = tmp_path / "root" / f"{number:03}"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    os.utime(tmp_path / "root", (0, 0))
    _, token = await calls.page(page_size=10)
    await calls.put("021")
    await calls.delete("020")

    page, _ = await calls.page(token=token, page_size=2)

    assert page == ["021", "022"]

"""
``asyncstore cp``, in every direction.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from asyncstore import StorageConfig, open_storage, parse_uri
from tests.cli.shell import invoke, make, records, run, tree
from tests.cli.test_interrupt import leftovers, running, wait_until

FILES = {"config.json": b"{}", "sub/a.bin": b"a" * 5000, "sub/b.txt": b"b", "z": b""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_continue_skips_what_is_complete(source: Path, store: Path, tmp_path: Path) -> None:
    """
    In both directions; a dry run says what would be transferred.
    """
    uri, copy = store.as_uri(), tmp_path / "copy"
    for one, other, changed, data in ((source, uri, source, b"more"), (uri, copy, copy, b"other")):
        arguments = ("cp", "-r", "--continue", one, other)
        first = invoke(*arguments)
        (changed / "z").write_bytes(data)
        planned = invoke(*arguments, "--dry-run")
        again = invoke(*arguments)

        assert [first.exit_code, planned.exit_code, again.exit_code] == [0, 0, 0]
        assert "cp: 4 done" in first.stderr
        assert "cp: 1 to do" in planned.stderr
        assert planned.stdout.count("would copy") == 1
        assert "cp: 1 done, 3 skipped" in again.stderr
    assert tree(copy) == {**FILES, "z": b"more"}


def test_continue_needs_files(store: Path) -> None:
    """
    What standard input gave is gone.
    """
    result = invoke("cp", "--continue", "-", f"{store.as_uri()}/key", stdin="data")

    assert result.exit_code == 2
    assert "standard input cannot be read again" in result.stderr
    assert tree(store) == {}


def test_file_becomes_the_object(source: Path, store: Path) -> None:
    """
    One file to one URI.
    """
    result = invoke("cp", source / "config.json", f"{store.as_uri()}/other.json")

    assert result.exit_code == 0, result.output
    assert tree(store) == {"other.json": b"{}"}


@pytest.mark.parametrize("slash", ["/", ""])
def test_file_goes_into_a_directory(source: Path, store: Path, slash: str) -> None:
    """
    If the target ends in a slash or is a directory, the file keeps its name.
    """
    invoke("cp", source / "config.json", store.as_uri() + slash)

    assert tree(store) == {"config.json": b"{}"}


@pytest.mark.parametrize(("target", "expected"), [("copy", "copy"), ("dir", "dir/a.bin"), ("new/", "new/a.bin")])
def test_object_to_file(source: Path, tmp_path: Path, target: str, expected: str) -> None:
    """
    An object is copied to a file, or into a directory.
    """
    (tmp_path / "dir").mkdir()
    slash = "/" if target.endswith("/") else ""

    result = invoke("cp", f"{source.as_uri()}/sub/a.bin", f"{tmp_path / target}{slash}")

    assert result.exit_code == 0, result.output
    assert (tmp_path / expected).read_bytes() == FILES["sub/a.bin"]


@pytest.mark.parametrize("slashes", [("", ""), ("/", ""), ("", "/"), ("/", "/")])
def test_trees_there_and_back(source: Path, tmp_path: Path, slashes: tuple[str, str]) -> None:
    """
    With -r everything below the source is copied below the target, whatever the slashes and existing files.
    """
    store = (tmp_path / "new").as_uri()
    for _ in range(2):
        assert invoke("cp", "-r", f"{source}{slashes[0]}", store + slashes[1]).exit_code == 0
        assert invoke("cp", "-r", store + slashes[0], f"{tmp_path / 'back'}{slashes[1]}").exit_code == 0

    assert tree(tmp_path / "new") == FILES
    assert tree(tmp_path / "back") == FILES


def test_several_sources_keep_their_names(source: Path, store: Path) -> None:
    """
    Several sources are copied into the target.
    """
    invoke("cp", "-r", source / "sub", source / "z", store.as_uri())

    assert set(tree(store)) == {"sub/a.bin", "sub/b.txt", "z"}


def test_from_provider_to_provider(source: Path, store: Path, tmp_path: Path) -> None:
    """
    Between providers the bytes are streamed.
    """
    memory = ["--set", f"shared={tmp_path.name}"]
    assert invoke("cp", "-r", source, "memory://b/x", *memory).exit_code == 0

    result = invoke("cp", "-r", "memory://b/x", store.as_uri(), "--source-set", f"shared={tmp_path.name}", "--json")

    assert result.exit_code == 0, result.output
    assert tree(store) == FILES
    assert records(result.stdout)[-1]["bytes"] == sum(map(len, FILES.values()))


def test_inside_a_provider(source: Path, tmp_path: Path) -> None:
    """
    Within one provider, the provider copies.
    """
    memory = ["--set", f"shared={tmp_path.name}"]
    invoke("cp", "-r", source, "memory://b/x", *memory)

    assert invoke("cp", "-r", "memory://b/x", "memory://c", *memory).exit_code == 0
    assert invoke("cp", "memory://c/sub/b.txt", "memory://c/copy.txt", *memory).exit_code == 0

    listing = invoke("ls", "-r", "memory://c", *memory)
    assert listing.stdout.split() == ["config.json", "copy.txt", "sub/a.bin", "sub/b.txt", "z"]


@pytest.mark.parametrize("direction", ["up", "down", "inside", "between"])
def test_no_overwrite(source: Path, tmp_path: Path, direction: str) -> None:
    """
    Existing targets are skipped and unchanged.
    """
    stores = {name: make(tmp_path / name, {"z": b"old"}) for name in ("up", "down", "between")}
    make(source, {"inside/z": b"old"})
    target = {
        "up": stores["up"].as_uri(),
        "down": str(stores["down"]),
        "inside": f"{source.as_uri()}/inside",
        "between": stores["between"].as_uri(),
    }[direction]
    origin = source / "z" if direction == "up" else f"{source.as_uri()}/z"

    result = invoke("cp", "--no-overwrite", origin, f"{target}/z", "--json")

    assert result.exit_code == 0, result.output
    assert [record["status"] for record in records(result.stdout)[:-1]] == ["skipped"]
    assert (source / "inside/z" if direction == "inside" else stores[direction] / "z").read_bytes() == b"old"


def test_filters(source: Path, store: Path) -> None:
    """
    Patterns are matched against names and whole relative paths.
    """
    invoke("cp", "-r", source, store.as_uri(), "--include", "*.txt", "--include", "sub/*", "--exclude", "a.*")

    assert set(tree(store)) == {"sub/b.txt"}


def test_dry_run(source: Path, store: Path) -> None:
    """
    --dry-run shows the plan and changes nothing.
    """
    result = invoke("cp", "-r", "--dry-run", source, store.as_uri(), "--json")

    planned = [record["target"] for record in records(result.stdout)[:-1]]
    assert planned == [f"{store.as_uri()}/{key}" for key in sorted(FILES)]
    assert tree(store) == {}


def test_items_and_summary_as_json(source: Path, store: Path) -> None:
    """
    --json writes one record per item and a summary at the end.
    """
    *items, summary = records(invoke("cp", "-r", source, store.as_uri(), "--json").stdout)

    assert {(item["type"], item["status"], item["error"]) for item in items} == {("item", "done", None)}
    assert {(item["source"], item["target"], item["bytes"]) for item in items} == {
        (str(source / key), f"{store.as_uri()}/{key}", len(data)) for key, data in FILES.items()
    }
    assert (summary["type"], summary["done"], summary["failed"], summary["bytes"]) == ("summary", 4, 0, 5003)
    assert (summary["requests_allowed"], summary["requests_ceiling"]) == (16, 128)
    assert summary["requests_peak"] <= 4 <= summary["requests"]


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    """
    A bucket with keys that would escape the target, and one safe key.
    """
    name = f"hostile-{tmp_path.name}"
    keys = ["/abs", "../up", "a/../../up", "C:/x", "a//b", "a\0b", "link/x", "file", "file/x", "good"]
    make(tmp_path / "source", {"x": b"evil"})
    memory = ["--set", f"shared={name}"]
    for key in keys:
        assert invoke("cp", tmp_path / "source/x", f"memory://b/p/{key}", *memory).exit_code == 0
    return memory


def test_hostile_keys_stay_below_the_target(tmp_path: Path, hostile: list[str]) -> None:
    """
    Each unsafe key fails, the others are downloaded, and nothing is written elsewhere.
    """
    target, elsewhere = tmp_path / "deep/target", tmp_path / "elsewhere"
    target.mkdir(parents=True)
    elsewhere.mkdir()
    (target / "link").symlink_to(elsewhere)

    result = invoke("cp", "-r", "memory://b/p", target, *hostile, "--json")

    *items, summary = records(result.stdout)
    failed = {item["source"].removeprefix("memory://b/p/"): item for item in items if item["status"] == "failed"}
    assert result.exit_code == 1
    assert set(failed) == {"/abs", "../up", "a/../../up", "a//b", "a\0b", "link/x", "file/x"}
    assert all(item["error"]["kind"] in ("InvalidRequestError", "PermissionDeniedError") for item in failed.values())
    assert summary["failed"] == 7
    assert tree(target) == {"C:/x": b"evil", "file": b"evil", "good": b"evil"}
    assert set(tree(tmp_path)) == {"deep/target/C:/x", "deep/target/file", "deep/target/good", "source/x"}


def test_folder_markers_are_skipped(tmp_path: Path) -> None:
    """
    Folder markers are skipped.
    """
    memory = ["--set", f"shared={tmp_path.name}"]

    async def put(*keys: str) -> None:
        async with open_storage("memory://b", shared=tmp_path.name) as storage:
            for key in keys:
                await storage.put(storage.root / key, b"")

    asyncio.run(put("p/", "p/sub/", "p/x"))

    result = invoke("cp", "-r", "memory://b/p", tmp_path / "out", *memory)

    assert result.exit_code == 0
    assert set(tree(tmp_path / "out")) == {"x"}


def test_names_that_are_not_utf8(source: Path, store: Path) -> None:
    """
    A file whose name cannot be a key fails, and the others are copied.
    """
    Path(os.fsdecode(os.fsencode(source) + b"/\xff")).touch()

    result = run("cp", "-r", source, store.as_uri(), "--json")

    assert result.returncode == 1
    assert tree(store) == FILES
    assert [item["status"] for item in records(result.stdout)[:-1]].count("failed") == 1


def test_keys_that_are_too_long(source: Path, store: Path) -> None:
    """
    A key that is too long for the provider fails one item, not the whole copy.
    """
    folder = source / "/".join(["d" * 200] * 5)
    folder.mkdir(parents=True)
    (folder / ("x" * 100)).touch()

    result = invoke("cp", "-r", source, f"{store.as_uri()}/sub", "--json")

    assert result.exit_code == 1
    assert [item["error"]["kind"] for item in records(result.stdout)[:-1] if item["error"]] == ["InvalidRequestError"]
    assert len(tree(store)) == len(FILES)


def test_links_out_and_pipes_are_left_out(source: Path, store: Path) -> None:
    """
    Links and devices are reported, but are not failures.
    """
    (source / "out").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")

    result = invoke("cp", "-r", source, store.as_uri())

    assert result.exit_code == 0
    assert tree(store) == FILES
    assert result.stderr.count("left out: ") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "b"],
        ["-r", "{source}", "{store}/a", "--part-size", "big"],
        ["{source}", "{store}/a"],
        ["{store}", "copy"],
        ["{source}/z", "{source}/sub/../z", "{store}"],
        ["-", "-"],
        ["x://", "copy"],
        ["nowhere://b/k", "copy"],
        ["-r", "{tree}", "{tree}/below"],
        ["-r", "{source}", "{tree}/below"],
    ],
    ids=str,
)
def test_usage(source: Path, store: Path, arguments: list[str]) -> None:
    """
    Invalid arguments are refused in one line, before anything is done.
    """
    places = {"source": source, "store": store.as_uri(), "tree": source.as_uri()}

    result = invoke("cp", *(argument.format(**places) for argument in arguments))

    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert tree(source) == FILES


def test_standard_input_and_output(store: Path) -> None:
    """
    A dash means standard input or output.
    """
    data = os.urandom(3_000_000)

    put = run("cp", "-", f"{store.as_uri()}/x", "--quiet", stdin=data)
    got = run("cp", f"{store.as_uri()}/x", "-")

    assert (put.returncode, put.stdout, put.stderr) == (0, b"", b"")
    assert (got.returncode, got.stdout) == (0, data)


def test_options_reach_the_engine(tmp_path: Path, store: Path) -> None:
    """
    --part-size makes a multipart upload, whose part count is in the ETag.
    """
    make(tmp_path, {"big": b"x" * 3_000_000})

    result = invoke(
        *("cp", tmp_path / "big", f"{store.as_uri()}/big", "--part-size", "1MB", "--concurrency", 2, "--no-sync")
    )

    assert result.exit_code == 0, result.output
    assert (store / "big").stat().st_size == 3_000_000


def test_what_is_stored_with_an_object(tmp_path: Path, store: Path) -> None:
    """
    Headers and metadata are stored on uploads, from standard input and on copies, and shown by stat.
    """
    page = make(tmp_path, {"index.html": b"<p>"}) / "index.html"
    options = ["--cache-control", "max-age=60", "--metadata", "owner=me", "--metadata", "note=a=b, c"]
    expected = {"cache_control": "max-age=60", "metadata": {"owner": "me", "note": "a=b, c"}}

    assert invoke("cp", page, f"{store.as_uri()}/a.html", *options).exit_code == 0
    assert run("cp", "-", f"{store.as_uri()}/b.html", *options, stdin=b"<p>").returncode == 0
    assert invoke("cp", f"{store.as_uri()}/a.html", f"{store.as_uri()}/c", "--content-language", "en").exit_code == 0
    assert invoke("cp", page, f"{store.as_uri()}/d", "--content-type", "text/plain").exit_code == 0
    assert invoke("cp", page, f"{store.as_uri()}/e", "--no-guess-content-type").exit_code == 0

    shown = {
        name: records(invoke("stat", "--json", f"{store.as_uri()}/{name}").stdout)[0]
        for name in ("a.html", "b.html", *"cde")
    }
    assert [shown[name]["content_type"] for name in shown] == [
        "text/html",
        "text/html",
        "text/html",
        "text/plain",
        None,
    ]
    for name in ("a.html", "b.html", "c"):
        assert {key: shown[name][key] for key in expected} == expected
    assert (shown["a.html"]["content_language"], shown["c"]["content_language"]) == (None, "en")


def test_storage_class(tmp_path: Path) -> None:
    """
    It reaches providers that have classes, and is refused for others.
    """
    file = make(tmp_path, {"a": b"x"}) / "a"

    assert invoke("cp", file, "memory://b/a", "--storage-class", "COLD").exit_code == 0
    assert invoke("cp", file, f"{tmp_path.as_uri()}/store/a", "--storage-class", "COLD").exit_code == 2


def test_protection(tmp_path: Path) -> None:
    """
    It is set on each object, and ``stat`` shows it; the object is then not replaced, which is an error of access.
    """
    make(tmp_path / "in", {"a": b"x", "b": b"y"})
    place = ["--set", "shared=test_protection"]
    protect = ["--retain-until", "2200-01-31T12:00Z", "--retention-mode", "compliance", "--legal-hold"]

    assert invoke("cp", "-r", tmp_path / "in", "memory://b/", *protect, *place).exit_code == 0

    for key in ("a", "b"):
        (record,) = records(invoke("stat", f"memory://b/{key}", "--json", *place).stdout)
        assert record["retention"] == {"until": "2200-01-31T12:00:00Z", "mode": "compliance"}
        assert record["legal_hold"]
    plain = invoke("stat", "memory://b/a", *place).stdout
    assert "retention            compliance, until 2200-01-31T12:00:00Z" in plain
    assert "legal_hold           on" in plain
    again = invoke("cp", tmp_path / "in" / "a", "memory://b/a", *place)
    assert again.exit_code == 4
    assert "a legal hold protects the object" in again.stderr


@pytest.mark.parametrize("time", ["soon", "2030-13-01", "30x", ""])
def test_retention_until_no_time(tmp_path: Path, store: Path, time: str) -> None:
    """
    It is a usage error, and nothing is uploaded.
    """
    file = make(tmp_path, {"a": b"x"}) / "a"
    result = invoke("cp", file, f"{store.as_uri()}/new", "--retain-until", time)

    assert result.exit_code == 2
    assert "--retain-until takes a time" in result.stderr
    assert not (store / "new").exists()


@pytest.mark.parametrize("choice", [["--acl", "public-read"], ["--retain-until", "30d"], ["--legal-hold"]])
def test_protection_of_files_is_refused(tmp_path: Path, choice: list[str]) -> None:
    """
    Files have neither access lists nor protection.
    """
    file = make(tmp_path, {"a": b"x"}) / "a"

    assert invoke("cp", file, f"{tmp_path.as_uri()}/store/a", *choice).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [["--metadata", "owner"], ["--metadata", "=x"], ["--metadata", "a=1", "--metadata", "a=2"], ["--metadata", "a=\n"]],
)
def test_metadata_that_is_not_a_pair(tmp_path: Path, store: Path, arguments: list[str]) -> None:
    """
    It is a usage error, and nothing is uploaded.
    """
    file = make(tmp_path, {"a": b"x"}) / "a"
    result = invoke("cp", file, f"{store.as_uri()}/new", *arguments)

    assert result.exit_code == 2
    assert not (store / "new").exists()


def test_headers_of_a_download_are_refused(tmp_path: Path, store: Path) -> None:
    """
    A local file has no headers.
    """
    result = invoke("cp", "memory://b/a", tmp_path / "file", "--content-type", "text/html")

    assert result.exit_code == 2
    assert "can only be set on objects" in result.stderr


def test_seconds_and_source_of_standard_input(store: Path) -> None:
    """
    The summary's seconds are those of the transfer, and the item's source is the dash.
    """
    with running("cp", "--json", "--part-size", "1MiB", "-", f"{store.as_uri()}/x") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 6_000_000)
        process.stdin.flush()
        wait_until(lambda: bool(leftovers(store)))
        time.sleep(0.2)
        process.stdin.close()
        item, summary = records(process.stdout.read())

    assert (item["source"], item["target"], item["bytes"]) == ("-", f"{store.as_uri()}/x", 6_000_000)
    assert summary["seconds"] >= 0.2
    assert summary["bytes_per_second"] <= 30_000_000


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_pipe_as_a_source(tmp_path: Path, options: list[str]) -> None:
    """
    As of ``cp <(command)``: the advice is one for the command line, and the pipe is not opened.
    """
    os.mkfifo(tmp_path / "pipe")

    done = invoke("cp", *options, tmp_path / "pipe", f"file://{tmp_path}/store/")

    assert done.exit_code != 0
    assert "pipe is not a regular file" in done.stderr
    assert "command | asyncstore cp - TARGET" in done.stderr


@pytest.mark.parametrize("command", ["cp", "sync"])
def test_help_tells_the_true_number_of_requests(command: str) -> None:
    described = invoke(command, "--help", env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).stdout
    line = next(line for line in described.splitlines() if "--concurrency" in line)

    assert f"in flight ({StorageConfig(uri=parse_uri('memory://bucket')).max_requests})." in line

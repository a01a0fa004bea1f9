"""
Thousands of replies that are wrong in some way, to every verb of five providers: ``python -m tests.deviations.fuzz``.

One rule decides: a verb returns the right bytes or raises a :class:`StorageError`, in bounded time, and the storage
reads the object afterwards. Round *n* of a seed is the same in every run: ``--seed 1 --only 4711`` repeats one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

from asyncstore import (
    ByteRange,
    Download,
    DownloadOptions,
    ReadOptions,
    Storage,
    StorageError,
    Upload,
    UploadOptions,
)
from asyncstore.types import Part
from tests.deviations.good_replies import SERVICES, Asked, Content, Said
from tests.deviations.hostile import Sending, deviate
from tests.deviations.server import CONTENTS, Server, opened, serving

#: Seconds that a round may take. A round without a hang takes milliseconds.
BOUND: Final = 25.0

#: Runs a verb; returns why its result is wrong, if it is.
Verb = Callable[[Storage, Random, "Place"], Awaitable[str | None]]


def _key(storage: Storage) -> Any:
    return storage.root / "t" / "k"


@dataclass(frozen=True)
class Place:
    """
    What the verbs of a run work with.

    Attributes:
        folder: For files.
        contents: The versions of the object.
        part_sizes: Those of downloads.
    """

    folder: Path
    contents: Sequence[Content]
    part_sizes: Sequence[int]

    @property
    def size(self) -> int:
        """The bytes of the longest version."""
        return max(len(content.data) for content in self.contents)

    def wrong(self, data: bytes, part: ByteRange | None = None) -> str | None:
        """
        Return why *data* is not *part* of a version of the object, if so.
        """
        for content in self.contents:
            size = len(content.data)
            start, end = 0, size
            if part is not None:
                start = max(0, size + part.start) if part.start < 0 else part.start
                end = size if part.end is None else min(part.end, size)
            if data == content.data[start:end]:
                return None
        return f"other bytes: {len(data)} from {data[:20]!r} for {part}"

    def range(self, rng: Random) -> ByteRange:
        """
        Return a range that begins in the object.
        """
        start = rng.choice((0, 0, 5, self.size // 3, self.size * 2 // 3))
        return rng.choice(
            (ByteRange(start, start + rng.choice((1, 100, self.size))), ByteRange(start), ByteRange(-self.size // 3))
        )


async def _read(storage: Storage, rng: Random, place: Place) -> str | None:
    return place.wrong(await storage.read(_key(storage)))


async def _read_part(storage: Storage, rng: Random, place: Place) -> str | None:
    part = place.range(rng)
    return place.wrong(await storage.read(_key(storage), options=ReadOptions(range=part)), part)


async def _stream(storage: Storage, rng: Random, place: Place) -> str | None:
    part = rng.choice((None, place.range(rng)))
    async with storage.get(_key(storage), options=ReadOptions(range=part)) as stream:
        return place.wrong(await stream.read(), part)


async def _read_ranges(storage: Storage, rng: Random, place: Place) -> str | None:
    parts = [place.range(rng), place.range(rng), ByteRange(10, 20)]
    found = await storage.read_ranges(_key(storage), parts)
    wrong = [place.wrong(data, part) for data, part in zip(found, parts, strict=True)]
    return next((one for one in wrong if one), None)


async def _download(storage: Storage, rng: Random, place: Place) -> str | None:
    target = place.folder / "file"
    target.unlink(missing_ok=True)
    options = DownloadOptions(part_size=rng.choice(place.part_sizes), sync=False)
    await storage.download(_key(storage), target, options=options)
    return place.wrong(target.read_bytes())


async def _bulk_download(storage: Storage, rng: Random, place: Place) -> str | None:
    items = [Download(_key(storage), place.folder / name) for name in ("a", "b")]
    result = await storage.bulk_download(items)
    if result.done + result.skipped + result.failed != len(items):
        return f"{result} does not have an outcome for each item"
    wrong = [place.wrong((place.folder / name).read_bytes()) for name in ("a", "b") if (place.folder / name).exists()]
    for name in ("a", "b"):
        (place.folder / name).unlink(missing_ok=True)
    return next((one for one in wrong if one), None)


async def _read_into(storage: Storage, rng: Random, place: Place) -> str | None:
    part = rng.choice((None, place.range(rng)))
    buffer = bytearray(place.size + 1000)
    options = DownloadOptions(part_size=rng.choice(place.part_sizes), range=part)
    count = await storage.read_into(_key(storage), buffer, options=options)
    return place.wrong(bytes(buffer[:count]), part)


async def _open(storage: Storage, rng: Random, place: Place) -> str | None:
    async with storage.open(_key(storage), "rb") as file:
        start = rng.choice((0, 1000))
        await file.seek(start)
        data = await file.read(1000)
    return place.wrong(data, ByteRange(start, start + 1000))


async def _stat(storage: Storage, rng: Random, place: Place) -> str | None:
    info = await storage.stat(_key(storage))
    return None if info.size >= -1 and info.etag != "" else f"an odd object: {info}"


async def _exists(storage: Storage, rng: Random, place: Place) -> str | None:
    return None if await storage.exists(_key(storage)) in (True, False) else "neither"


async def _put(storage: Storage, rng: Random, place: Place) -> str | None:
    able = storage.capabilities.conditional_create
    options = UploadOptions(if_none_match="*" if able and rng.random() < 0.5 else None)
    info = await storage.put(_key(storage), b"data", options=options)
    return None if info.etag else f"written without an ETag: {info}"


async def _bulk_upload(storage: Storage, rng: Random, place: Place) -> str | None:
    source = place.folder / "source"
    source.write_bytes(b"data")
    items = [Upload(source, storage.root / "t" / name) for name in ("a", "b")]
    result = await storage.bulk_upload(items)
    return None if result.done + result.skipped + result.failed == 2 else f"{result} lacks an outcome"


async def _delete(storage: Storage, rng: Random, place: Place) -> str | None:
    await storage.delete(_key(storage))
    return None


async def _bulk_delete(storage: Storage, rng: Random, place: Place) -> str | None:
    result = await storage.bulk_delete([storage.root / "t" / name for name in ("a", "b")])
    return None if result.done + result.failed == 2 else f"{result} lacks an outcome"


async def _listed(items: Any) -> str | None:
    count = 0
    async with aclosing(items) as found:
        async for item in found:
            count += 1
            size = getattr(item, "size", 0)
            if not isinstance(size, int) or size < -1:
                return f"an odd entry: {item}"
            if count > 1000:
                return "a listing without end"
    return None


async def _list(storage: Storage, rng: Random, place: Place) -> str | None:
    return await _listed(storage.list())


async def _list_versions(storage: Storage, rng: Random, place: Place) -> str | None:
    return await _listed(storage.list_versions())


async def _list_uploads(storage: Storage, rng: Random, place: Place) -> str | None:
    return await _listed(storage.list_multipart_uploads())


async def _list_parts(storage: Storage, rng: Random, place: Place) -> str | None:
    return await _listed(storage.list_parts(_key(storage), "u"))


async def _multipart(storage: Storage, rng: Random, place: Place) -> str | None:
    upload_id = await storage.initiate_multipart_upload(_key(storage))
    part: Part = await storage.upload_part(_key(storage), upload_id, 1, b"data")
    if not upload_id or not part.etag:
        return f"an odd part: {upload_id!r}, {part}"
    if rng.random() < 0.3:
        await storage.abort_multipart_upload(_key(storage), upload_id)
        return None
    info = await storage.complete_multipart_upload(_key(storage), upload_id, [part])
    return None if info.etag != "" else f"completed with an empty ETag: {info}"


async def _copy(storage: Storage, rng: Random, place: Place) -> str | None:
    info = await storage.copy(_key(storage), storage.root / "t" / "copy")
    return None if info.etag != "" else f"an odd copy: {info}"


async def _move(storage: Storage, rng: Random, place: Place) -> str | None:
    info = await storage.move(_key(storage), storage.root / "t" / "moved")
    return None if info.etag != "" else f"an odd copy: {info}"


async def _update(storage: Storage, rng: Random, place: Place) -> str | None:
    seen: list[bytes | None] = []

    def change(data: bytes | None) -> bytes:
        seen.append(data)
        return b"new"

    info = await storage.update(_key(storage), change, attempts=3)
    wrong = [place.wrong(data) for data in seen if data is not None]
    return next((one for one in wrong if one), None if info.etag else f"written without an ETag: {info}")


async def _tags(storage: Storage, rng: Random, place: Place) -> str | None:
    await storage.set_tags(_key(storage), {"a": "b"})
    return None if isinstance(await storage.get_tags(_key(storage)), Mapping) else "no tags"


VERBS: Final[Sequence[Verb]] = (
    _read,
    _read,
    _read_part,
    _read_part,
    _stream,
    _read_ranges,
    _download,
    _download,
    _bulk_download,
    _read_into,
    _open,
    _stat,
    _exists,
    _put,
    _put,
    _bulk_upload,
    _delete,
    _bulk_delete,
    _list,
    _list,
    _list_versions,
    _list_uploads,
    _list_parts,
    _multipart,
    _copy,
    _move,
    _update,
    _tags,
)


READS: Final[Sequence[Verb]] = (_read, _read_part, _stream, _read_ranges, _download, _bulk_download, _read_into, _open)

#: Objects of some KiB and of some MiB, and the sizes of the parts that they are downloaded in.
SMALL: Final = (CONTENTS, (500, 10_000))
LARGE: Final = (
    (Content(bytes(range(256)) * 12_000, "11"), Content(b"another version" * 150_000, "22")),
    (1_100_000, 4_000_000),
)


@dataclass
class Tally:
    """
    What the rounds came to.

    Attributes:
        outcomes: Rounds by outcome: ``returned``, or the class of the error.
        caught: Errors of readers that did not expect the reply, which the engine has made a ``StorageError``.
        wrong: What is not as it must be, one line each.
        slowest: Seconds of the longest round.
        current: The round that runs.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    current: int = -1


# Rounds of one storage, so that what it learned of an endpoint does not last for ever.
_STORAGE_ROUNDS: Final = 40


async def run(provider: str, rounds: Sequence[int], seed: int, *, large: bool = False, loud: bool = False) -> Tally:
    """
    Run *rounds* against one provider.

    Args:
        large: The object has some MiB, which are received in threads, and only reads are run.
    """
    tally = Tally()

    def forgotten(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Such as a connection that nobody closed, or the exception of a task that nobody awaited.
        found = f"{context['message']} {context.get('exception') or ''}"
        tally.wrong.append(f"{provider}, round {tally.current} or before: {found}")

    asyncio.get_running_loop().set_exception_handler(forgotten)
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), *(LARGE if large else SMALL))
        async with serving(provider) as server:
            server.contents = place.contents
            left = list(reversed(rounds))
            while left:
                async with opened(provider, server.url) as storage:
                    for _ in range(min(_STORAGE_ROUNDS, len(left))):
                        if not await _round(storage, server, tally, seed, left.pop(), place, loud=loud):
                            break
    return tally


async def _round(
    storage: Storage, server: Server, tally: Tally, seed: int, number: int, place: Place, *, loud: bool
) -> bool:
    """
    Run one round; return whether the storage can be used for the next.
    """
    rng = Random(f"{seed} {server.provider} {number}")
    verb = rng.choice(VERBS if place.contents is CONTENTS else READS)
    server.answer, server.log = partial(_deviating, server, rng), []
    what = f"{server.provider} {number} {verb.__name__}"
    tally.current = number
    began = asyncio.get_running_loop().time()

    def wrong(why: str) -> None:
        tally.wrong.append(f"{what}: {why}; {' | '.join(server.log[-6:])}")

    try:
        async with asyncio.timeout(BOUND):
            why = await verb(storage, rng, place)
        tally.outcomes["returned"] += 1
        if why is not None:
            wrong(why)
    except StorageError as exc:
        tally.outcomes[type(exc).__name__] += 1
        if loud:
            traceback.print_exception(exc)
        if exc.message.startswith("the reply cannot be read"):
            tally.caught[f"{server.provider} {verb.__name__}: {exc.message}"] += 1
    except TimeoutError:
        wrong(f"no end within {BOUND} s")
    except Exception as exc:
        wrong(f"{type(exc).__name__}: {exc}")
        if loud:
            traceback.print_exception(exc)
    tally.slowest = max(tally.slowest, asyncio.get_running_loop().time() - began)
    server.answer = None
    if loud:
        say(what, *server.log)
    return await _works(storage, server, wrong)


def _deviating(server: Server, rng: Random, asked: Asked) -> tuple[Said, Sending]:
    content = server.contents[0 if rng.random() < 0.8 else 1]
    said = server.good(asked, content)
    return said, deviate(rng, asked, said, content)


async def _works(storage: Storage, server: Server, wrong: Callable[[str], None]) -> bool:
    log = list(server.log)
    try:
        async with asyncio.timeout(BOUND):
            data = await storage.read(_key(storage))
    except StorageError as exc:
        # GitHub may ban clients that go on before the time that a refusal has named.
        if server.provider == "github" and exc.status == 429:
            return False
        wrong(f"the storage does not work afterwards: {exc!r}")
        return False
    except Exception as exc:
        wrong(f"the storage does not work afterwards: {exc!r}")
        return False
    if data != server.contents[0].data:
        server.log = log
        wrong(f"the next read returns other bytes: {len(data)} from {data[:20]!r}")
    return True


async def fuzz(rounds: int, seed: int, providers: Sequence[str] = tuple(SERVICES), *, large: bool = False) -> Tally:
    """
    Run *rounds* in all, spread over *providers*.
    """
    total = Tally()
    each = rounds // len(providers)
    for provider in providers:
        tally = await run(provider, range(each), seed, large=large)
        total.outcomes += tally.outcomes
        total.caught += tally.caught
        total.wrong += tally.wrong
        total.slowest = max(total.slowest, tally.slowest)
    return total


def say(*lines: str) -> None:
    """
    Write *lines*, the later ones indented.
    """
    sys.stdout.write("\n  ".join(lines) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the rounds that the command line asks for; return 1 if one went wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--provider", choices=list(SERVICES), action="append")
    parser.add_argument("--only", type=int, help="one round, with its requests")
    parser.add_argument("--large", action="store_true", help="reads of an object of some MiB")
    chosen = parser.parse_args(arguments)
    providers = chosen.provider or list(SERVICES)
    if chosen.only is not None:
        tally = asyncio.run(run(providers[0], [chosen.only], chosen.seed, large=chosen.large, loud=True))
    else:
        tally = asyncio.run(fuzz(chosen.rounds, chosen.seed, providers, large=chosen.large))
    for line in tally.wrong:
        say(line)
    for why, count in tally.caught.most_common():
        say(f"unexpected by the reader, {count} times: {why}")
    say(f"{sum(tally.outcomes.values())} outcomes, {len(tally.wrong)} wrong, slowest {tally.slowest:.2f} s")
    say(", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common()))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

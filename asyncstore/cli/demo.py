"""
``asyncstore demo``.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import anyio
import typer
from rich.console import Console

from asyncstore._support.cleanup import clean_up
from asyncstore._support.threads import in_thread
from asyncstore.cli.demo_content import Content, Model
from asyncstore.cli.demo_report import Phase, Report
from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, counted, human, one_line, parse_size
from asyncstore.cli.places import LocalPlace, RemotePlace
from asyncstore.cli.plan import Planner
from asyncstore.cli.progress import Totals, read_ahead, watched
from asyncstore.cli.running import FAILED, OK, run
from asyncstore.cli.settings import Connection
from asyncstore.cli.transfer import transfer
from asyncstore.engine.task_pool import for_each
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.options import BulkOptions
from asyncstore.storage import Storage
from asyncstore.storage.shard_jobs import TreeJob
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.storage.walk import TreeProblem
from asyncstore.types import ProgressEvent
from asyncstore.uri import ObjectURI, parse_uri

_WRITERS: Final = 2
_OPTIONS: Final = BulkOptions(keep="failures")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    Options of the demo.
    """

    size: Annotated[str, typer.Option(help="Total size.")] = "256MiB"
    files: Annotated[int, typer.Option(min=4, help="Number of files.")] = 200
    to: Annotated[
        str | None,
        typer.Option(metavar="URI", help="A bucket or prefix to use; the demo adds its own prefix."),
    ] = None
    keep: Annotated[bool, typer.Option("--keep", help="With --to, keep the objects afterwards.")] = False


@expanded
def demo(choices: Choices, connection: Connection, output: Output) -> None:
    """
    Try it out: create files like those of a model, upload, list and download them, and compare every byte.

    Without --to it needs no cloud and no credentials: the objects are files in a temporary directory.
    Everything that the demo creates is removed at the end, even after Ctrl-C.
    """

    async def work() -> int:
        if choices.keep and choices.to is None:
            raise ConfigurationError("--keep needs --to: it keeps the objects uploaded there")
        model = Model(parse_size(choices.size), choices.files)
        async with _scratch() as folder:
            return await _demo(choices, connection, output, model, folder)

    run(output, work)


@asynccontextmanager
async def _scratch() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="asyncstore-demo-"))
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(shutil.rmtree, folder, ignore_errors=True)


async def _demo(choices: Choices, connection: Connection, output: Output, model: Model, folder: Path) -> int:
    store = folder / "store"
    store.mkdir()
    base = parse_uri(choices.to or store.as_uri()) / f"asyncstore-demo-{uuid.uuid4().hex[:12]}"
    report = Report(str(base) if choices.to else "files in a temporary directory")
    async with connection.open(base, folder=True) as storage:
        removed = choices.to is not None and not choices.keep
        try:
            await _Run(output, model, folder, storage, base, report).all()
            if removed:
                output.note("deleting the uploaded objects ...")
                await _remove(storage, base)
        except BaseException as exc:
            if removed:
                await clean_up(_remove(storage, base), exc)
            raise
    for phase in report.phases:
        output.record(phase.record())
    output.record(report.record())
    if not output.json_:
        report.show(Console(highlight=False))
    for problem in report.problems:
        output.complain(problem)
    return FAILED if report.problems else OK


async def _remove(storage: Storage, base: ObjectURI) -> None:
    prefix = base.with_key(f"{base.key}/")
    result = await storage.bulk_delete((info.uri async for info in storage.list(prefix)), options=_OPTIONS)
    if result.failures:
        problem = one_line(result.failures[0].error or StorageError())
        raise StorageError(f"could not delete {counted(result.failed, 'object')} under {prefix}: {problem}")


class _Run:
    """
    The phases of one demo.
    """

    def __init__(
        self, output: Output, model: Model, folder: Path, storage: Storage, base: ObjectURI, report: Report
    ) -> None:
        self._output = output
        self._model = model
        self._source = folder / "model"
        self._copy = folder / "copy"
        self._storage = storage
        self._base = RemotePlace(base, slash=False)
        self._report = report

    async def all(self) -> None:
        count, size = len(self._model.contents), human(self._model.size)
        self._output.note(f"creating {count} files with {size} ...")
        with self._report.phase("make") as phase:
            await for_each(self._model.contents, self._make, max_concurrency=_WRITERS)
            phase.objects, phase.size = count, self._model.size
        source = LocalPlace(self._source, slash=False)
        with self._report.phase("upload") as phase:
            steps = Planner(recursive=True).steps([source], self._base)
            await self._transfer(phase, steps, None, self._storage)
        with self._report.phase("list") as phase:
            async for info in self._storage.list(self._base.folder):
                phase.objects += 1
                phase.size += info.size
        with self._report.phase("download") as phase:
            steps = Planner(recursive=True, source=self._storage).steps(
                [self._base], LocalPlace(self._copy, slash=False)
            )
            await self._transfer(phase, steps, self._storage, None)
        self._output.note("comparing every byte ...")
        with self._report.phase("verify") as phase:
            await for_each(self._model.contents, self._verify, max_concurrency=_WRITERS)
            phase.objects, phase.size = count, self._model.size
        self._compare_counts()

    async def _make(self, content: Content) -> None:
        await in_thread(self._model.write, content, self._source)

    async def _verify(self, content: Content) -> None:
        problem = await in_thread(self._model.differs, content, self._copy)
        if problem:
            self._report.problems.append(problem)

    async def _transfer(
        self, phase: Phase, steps: AsyncGenerator[TreeStep, None], source: Storage | None, target: Storage | None
    ) -> None:
        def observe(event: ProgressEvent) -> None:
            phase.retries = event.retries

        totals = Totals()
        async with read_ahead(steps, totals) as ahead:
            result = await watched(
                self._output,
                f"{phase.name}ing",
                totals,
                transfer(TreeJob(source, target, TreeOptions(bulk=_OPTIONS))),
                self._items(ahead),
                observer=observe,
            )
        phase.objects, phase.size = result.done, result.total_bytes
        for outcome in result.failures:
            assert outcome.error is not None
            self._report.problems.append(one_line(outcome.error))

    async def _items(self, steps: AsyncIterator[TreeStep]) -> AsyncIterator[TreeItem]:
        async for step in steps:
            if isinstance(step, TreeProblem):
                self._report.problems.append(one_line(step.error))
            else:
                yield step

    def _compare_counts(self) -> None:
        expected = (len(self._model.contents), self._model.size)
        for phase in self._report.phases:
            if (phase.objects, phase.size) != expected:
                found = f"{phase.objects} objects with {phase.size} bytes"
                self._report.problems.append(f"{phase.name}: {found}, not {expected[0]} with {expected[1]}")

"""
``asyncstore cp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from asyncstore.cli.copying import operation
from asyncstore.cli.groups import expanded
from asyncstore.cli.output import Output, parse_size
from asyncstore.cli.places import LocalPlace, RemotePlace, Stdio, place
from asyncstore.cli.plan import Filter, Item, Planner, is_into
from asyncstore.cli.running import run
from asyncstore.cli.settings import Connection, SourceConnection
from asyncstore.cli.standard import read_input, write_output
from asyncstore.cli.transfer import Tally, carry_out, rehearse
from asyncstore.errors import ConfigurationError
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI, Provider


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    The options of the copy itself.
    """

    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Copy all files of a directory, or all objects under a prefix.")
    ] = False
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="With -r, only what matches; repeatable.")
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="With -r, not what matches; repeatable.")
    ] = None
    no_overwrite: Annotated[bool, typer.Option("--no-overwrite", help="Skip what is at the target already.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and do nothing.")] = False
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Requests, objects, and parts of one, at a time (64, 32, 8).", show_default=False),
    ] = None
    part_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Bytes of one part of a large object (16MiB).", show_default=False),
    ] = None
    no_sync: Annotated[
        bool, typer.Option("--no-sync", help="Do not wait until local files are on the disk itself.")
    ] = False

    def bulk(self) -> BulkOptions:
        """
        Return them as the engine takes them.
        """
        parts: dict[str, Any] = {}
        if self.part_size is not None:
            parts["part_size"] = parse_size(self.part_size)
        if self.concurrency is not None:
            parts["max_concurrency"] = self.concurrency
        threshold = {"multipart_threshold": parts["part_size"]} if "part_size" in parts else {}
        options = BulkOptions(
            keep="failures",
            upload=UploadOptions(if_none_match="*" if self.no_overwrite else None, **threshold, **parts),
            download=DownloadOptions(overwrite=not self.no_overwrite, sync=not self.no_sync, **parts),
        )
        return options if self.concurrency is None else replace(options, max_concurrency=self.concurrency)


@expanded
def cp(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, URIs, or - for standard input.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A file, a directory, a URI, or - for standard output.")
    ],
    choices: Choices,
    connection: Connection,
    source_connection: SourceConnection,
    output: Output,
) -> None:
    """
    Copy files and objects: to a provider, from one, or from one to another.

    A SOURCE that is one file or object becomes TARGET, or goes into it if TARGET ends in a slash, is
    a bucket or an existing directory. With -r, what is below SOURCE goes below TARGET, under the
    same relative names, whether TARGET exists or not. Several SOURCEs go into TARGET, each under its own
    name.

    Nothing is ever written outside TARGET: a key that names no safe path below it is a failure of
    its own. Links inside a source directory are followed to files in it, and to nowhere else.

    Between two URIs, the settings are those of both, unless any --source-... option is given. Inside one
    provider with one set of settings the provider copies; otherwise the bytes are streamed through here.
    """

    async def work() -> int:
        async with AsyncExitStack() as stack:
            copy = _Copy(choices, connection, source_connection, output, stack)
            return await copy.run([place(text) for text in sources], place(target))

    run(output, work)


class _Copy:
    def __init__(
        self,
        choices: Choices,
        connection: Connection,
        source_connection: SourceConnection,
        output: Output,
        stack: AsyncExitStack,
    ) -> None:
        self._choices = choices
        self._connection = connection
        self._source_connection = source_connection
        self._output = output
        self._stack = stack
        self._options = choices.bulk()

    async def run(
        self, sources: Sequence[LocalPlace | RemotePlace | Stdio], target: LocalPlace | RemotePlace | Stdio
    ) -> int:
        if isinstance(target, Stdio):
            return await self._to_stdout(sources)
        if len(sources) == 1 and isinstance(sources[0], Stdio):
            return await self._from_stdin(target)
        named = [source for source in sources if not isinstance(source, Stdio)]
        if len(named) < len(sources):
            raise ConfigurationError("- for standard input is the only SOURCE, or none")
        _check_together(named, target, self._choices.recursive)
        storages = await self._storages(named, target)
        planner = Planner(
            recursive=self._choices.recursive,
            wanted=Filter(self._choices.include or (), self._choices.exclude or ()),
            source=storages[0],
            max_key_bytes=storages[1].capabilities.max_key_bytes if storages[1] else None,
        )
        steps = planner.steps(named, target)
        if self._choices.dry_run:
            return await rehearse(self._output, "cp", steps)
        tally = Tally(self._output, "cp")
        await carry_out(self._output, tally, "copying", steps, operation(*storages, self._options))
        return tally.close()

    async def _storages(
        self, sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace
    ) -> tuple[Storage | None, Storage | None]:
        recursive = self._choices.recursive
        to: Storage | None = None
        if isinstance(target, RemotePlace):
            folder = recursive or len(sources) > 1 or is_into(target)
            to = await self._open(self._connection, target.uri, folder=folder)
        uris = [source.uri for source in sources if isinstance(source, RemotePlace)]
        if not uris or (to is not None and self._one_storage(uris, to)):
            return to if uris else None, to
        return await self._open(self._source(), *uris, folder=recursive), to

    def _one_storage(self, sources: Sequence[ObjectURI], to: Storage) -> bool:
        if self._source_connection.given or sources[0].provider != to.root.provider:
            return False
        return to.provider != Provider.LOCAL or all(f"{uri.key}/".startswith(f"{to.root.key}/") for uri in sources)

    def _source(self) -> Connection:
        if self._source_connection.given:
            return self._source_connection.connection(self._connection.ca_file)
        return self._connection

    async def _open(self, connection: Connection, *uris: ObjectURI, folder: bool = False) -> Storage:
        limits: dict[str, Any] = (
            {} if self._choices.concurrency is None else {"max_requests": self._choices.concurrency}
        )
        return await self._stack.enter_async_context(connection.open(*uris, folder=folder, **limits))

    async def _to_stdout(self, sources: Sequence[LocalPlace | RemotePlace | Stdio]) -> int:
        for source in sources:
            if not isinstance(source, RemotePlace):
                raise ConfigurationError("only objects are copied to standard output")
            storage = await self._open(self._source(), source.uri)
            async with storage.get(source.uri) as stream:
                await write_output(stream)
        return 0

    async def _from_stdin(self, target: LocalPlace | RemotePlace) -> int:
        if not isinstance(target, RemotePlace) or target.slash or not target.uri.key:
            raise ConfigurationError("standard input becomes one object: give its whole URI")
        storage = await self._open(self._connection, target.uri)
        info = await storage.put(target.uri, read_input(), options=self._options.upload)
        tally = Tally(self._output, "cp")
        tally.began(Item(target.uri, target.uri, info.size))
        tally.observe(ProgressEvent(kind="object_done", uri=target.uri, object_bytes_total=info.size))
        tally.finished(BulkResult(done=1, total_bytes=info.size))
        return tally.close()


def _check_together(
    sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace, recursive: bool
) -> None:
    kinds = {source.uri.provider if isinstance(source, RemotePlace) else None for source in sources}
    if len(kinds) > 1:
        raise ConfigurationError("all SOURCEs are local, or all are of one provider")
    if isinstance(target, LocalPlace) and None in kinds:
        raise ConfigurationError("SOURCE and TARGET are both local: one of them is a URI, such as s3://bucket/key")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ConfigurationError("two SOURCEs have the same name, and would become one TARGET")
    for source in sources:
        if recursive and _holds(source, target):
            raise ConfigurationError(f"{target} is inside of {source}, which would be copied without an end")


def _holds(source: LocalPlace | RemotePlace, target: LocalPlace | RemotePlace) -> bool:
    if not isinstance(target, RemotePlace):
        return False
    if isinstance(source, RemotePlace):
        apart = (source.uri.provider, source.uri.bucket) != (target.uri.provider, target.uri.bucket)
        return not apart and source.uri != target.uri and target.folder.key.startswith(source.folder.key)
    if target.uri.provider != Provider.LOCAL or not source.path.is_dir():
        return False
    return f"/{target.folder.key}".startswith(f"{source.path.resolve()}/")

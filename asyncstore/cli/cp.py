"""
``asyncstore cp``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncstore.cli.cluster import DaskAddress, on_cluster
from asyncstore.cli.groups import expanded
from asyncstore.cli.look import parse_moment
from asyncstore.cli.output import Output, parse_size
from asyncstore.cli.places import LocalPlace, Place, RemotePlace, Stdio, place
from asyncstore.cli.plan import Planner, is_into
from asyncstore.cli.report import Report
from asyncstore.cli.running import run
from asyncstore.cli.selection import Selection
from asyncstore.cli.settings import Connection, SourceConnection
from asyncstore.cli.standard import read_input, write_output
from asyncstore.cli.transfer import Tally, carry_out, rehearse, transfer
from asyncstore.engine.upload.content_type import with_content_type
from asyncstore.errors import ConfigurationError
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.retention import Retention
from asyncstore.storage import Storage
from asyncstore.storage.shard_jobs import TreeJob
from asyncstore.storage.tree_options import TreeOptions
from asyncstore.storage.tree_pair import check_paths_apart
from asyncstore.storage.trees import TreeItem
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI, Provider

_STORED: Final = "What is stored"
_HEADERS: Final = (
    "content_type",
    "content_encoding",
    "content_language",
    "content_disposition",
    "cache_control",
    "storage_class",
    "acl",
)


class Mode(StrEnum):
    """
    What ``--retention-mode`` takes; see :class:`Retention`.
    """

    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class Names(StrEnum):
    """
    What ``--layout`` takes; see :class:`TreeOptions`.
    """

    RELATIVE = "relative"
    FULL = "full"
    OVERLAP = "overlap"
    FLAT = "flat"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """
    Options of the copy.
    """

    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Copy all files in a directory, or all objects under a prefix.")
    ] = False
    layout: Annotated[
        Names,
        typer.Option(help="Names below TARGET, with -r: below SOURCE, whole keys, without overlap, or without paths."),
    ] = Names.RELATIVE
    no_overwrite: Annotated[
        bool, typer.Option("--no-overwrite", help="Skip files and objects that already exist at the target.")
    ] = False
    update: Annotated[bool, typer.Option("--update", "-u", help="Skip what is newer at TARGET.")] = False
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare each item with its source after the transfer, by checksum.")
    ] = False
    continue_: Annotated[
        bool,
        typer.Option("--continue", help="Resume an interrupted run; if this one is interrupted, keep its progress."),
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied, without copying.")] = False
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most requests, objects, and parts of one object in flight (128).",
            show_default=False,
        ),
    ] = None
    part_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Part size of multipart transfers (16MiB).", show_default=False),
    ] = None
    hedge_after: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="Request a range of a large object again if its reply takes longer; the first wins.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Copy many files in N processes, which use N cores.", show_default=False),
    ] = None
    dask: DaskAddress = None
    content_type: Annotated[
        str | None, typer.Option(help="Content type; by default guessed from the name.", rich_help_panel=_STORED)
    ] = None
    no_guess_content_type: Annotated[
        bool,
        typer.Option("--no-guess-content-type", help="Use the provider's default type.", rich_help_panel=_STORED),
    ] = False
    content_encoding: Annotated[str | None, typer.Option(help="Such as gzip.", rich_help_panel=_STORED)] = None
    content_language: Annotated[str | None, typer.Option(help="Such as en.", rich_help_panel=_STORED)] = None
    content_disposition: Annotated[
        str | None, typer.Option(help="How browsers offer the object.", rich_help_panel=_STORED)
    ] = None
    cache_control: Annotated[str | None, typer.Option(help="Such as max-age=3600.", rich_help_panel=_STORED)] = None
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="User metadata; repeatable.", rich_help_panel=_STORED)
    ] = None
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A tag of each object; repeatable.", rich_help_panel=_STORED),
    ] = None
    storage_class: Annotated[
        str | None, typer.Option(help="The provider's storage class or tier.", rich_help_panel=_STORED)
    ] = None
    acl: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who has access, such as public-read.", rich_help_panel=_STORED)
    ] = None
    retain_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Protect each object until then: 2030-01-31, 2030-01-31T12:00Z, or 30d from now.",
            rich_help_panel=_STORED,
        ),
    ] = None
    retention_mode: Annotated[
        Mode,
        typer.Option(help="Whether permissions can end the retention early, or nobody can.", rich_help_panel=_STORED),
    ] = Mode.GOVERNANCE
    legal_hold: Annotated[
        bool,
        typer.Option("--legal-hold", help="Protect each object until the hold is ended.", rich_help_panel=_STORED),
    ] = False
    no_sync: Annotated[bool, typer.Option("--no-sync", help="Do not flush local files to disk.")] = False

    def stored(self) -> dict[str, Any]:
        """
        Return what is stored with each object, as fields of :class:`WriteOptions`.

        Raises:
            ConfigurationError: A ``--metadata`` or ``--tag`` is not KEY=VALUE, or a key is given twice;
                ``--retain-until`` is not a time.
        """
        given = {name: value for name in _HEADERS if (value := getattr(self, name)) is not None}
        for name, option, pairs in (("metadata", "--metadata", self.metadata), ("tags", "--tag", self.tag)):
            if pairs:
                given[name] = _pairs(option, pairs)
        if self.retain_until is not None:
            given["retention"] = Retention(parse_moment("--retain-until", self.retain_until), self.retention_mode.value)
        if self.legal_hold:
            given["legal_hold"] = True
        return given

    def bulk(self) -> BulkOptions:
        """
        Return them as options of bulk operations.
        """
        parts: dict[str, Any] = {}
        if self.part_size is not None:
            parts["part_size"] = parse_size(self.part_size)
        if self.concurrency is not None:
            parts["max_concurrency"] = self.concurrency
        threshold = {"multipart_threshold": parts["part_size"]} if "part_size" in parts else {}
        options = BulkOptions(
            keep="failures",
            workers=self.workers,
            upload=UploadOptions(
                if_none_match="*" if self.no_overwrite else None,
                guess_content_type=not self.no_guess_content_type,
                resume="journal" if self.continue_ else False,
                **self.stored(),
                **threshold,
                **parts,
            ),
            download=DownloadOptions(
                overwrite=not self.no_overwrite,
                sync=not self.no_sync,
                resume=self.continue_,
                hedge_after=self.hedge_after,
                **parts,
            ),
        )
        return options if self.concurrency is None else replace(options, max_concurrency=self.concurrency)


@expanded
def cp(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Files, URIs, or - for standard input.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A file, a directory, a URI, or - for standard output.")
    ],
    choices: Choices,
    selection: Selection,
    report: Report,
    connection: Connection,
    source_connection: SourceConnection,
    output: Output,
) -> None:
    """
    Copy files and objects: upload, download, or copy between providers.

    A SOURCE that is one file or object is copied to TARGET, or into it under its own name if TARGET ends
    in a slash, is a bucket or an existing directory. With -r, everything below SOURCE is copied below TARGET,
    under the same relative names, whether TARGET exists or not. Several SOURCEs are copied into TARGET, each
    under its own name.

    Nothing is ever written outside TARGET: an object whose key is not a safe path below it fails, and the
    others are copied. Links in a source directory are followed only to files in that directory.

    With --continue, files and objects that are complete at TARGET are skipped, and what an interrupted run with
    --continue left of a large file is taken up: parts that were uploaded, and parts of files that were downloaded.

    Between two URIs, both use the same settings, unless a --source-... option is given. Within one provider
    and one set of settings the provider copies; otherwise the bytes are streamed through this machine.
    """

    async def work() -> int:
        async with AsyncExitStack() as stack:
            report.check()
            places = [place(text) for text in sources], place(target)
            tree = tree_options(choices, selection, *places)
            copy = Copy(choices, tree, report, connection, source_connection, output, stack)
            return await copy.run(*places)

    run(output, work, kept=choices.continue_)


def tree_options(choices: Choices, selection: Selection, sources: Sequence[Place], target: Place) -> TreeOptions:
    """
    Return the options as those of a tree.

    Raises:
        ConfigurationError: Some of them do not go together.
    """
    if selection.selects and not choices.recursive:
        raise ConfigurationError("names are selected below directories and prefixes only: use -r")
    if selection.from_file is not None and len(sources) > 1:
        raise ConfigurationError("the names of --from-file are below one SOURCE: give one")
    if (choices.verify or choices.update or selection.mtime) and Stdio() in (*sources, target):
        raise ConfigurationError("--verify, --update and --mtime are for files and objects, not for -")
    if choices.layout != Names.RELATIVE and not choices.recursive:
        raise ConfigurationError("--layout is for what is below directories and prefixes: use -r")
    if choices.layout == Names.FLAT and selection.empty_folders:
        raise ConfigurationError("--layout flat has no directories: leave --empty-folders out")
    return selection.tree(
        *sources,
        target,
        bulk=choices.bulk(),
        layout=choices.layout.value,
        update=choices.update,
        verify=choices.verify,
    )


class Copy:
    """
    One run of the command; ``mv`` is another one.
    """

    command = "cp"
    title = "copying"

    def __init__(
        self,
        choices: Choices,
        tree: TreeOptions,
        report: Report,
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
        self._tree = tree
        self._report = report

    async def run(self, sources: Sequence[Place], target: Place) -> int:
        """
        Copy *sources* to *target*, and return the exit code.
        """
        if not isinstance(target, RemotePlace) and self._choices.stored():
            raise ConfigurationError(
                "headers, metadata, tags, a storage class, an access list and protection can only be set on objects, "
                f"and {target} is not one"
            )
        if isinstance(target, Stdio):
            return await self._to_stdout(sources)
        if len(sources) == 1 and isinstance(sources[0], Stdio):
            return await self._from_stdin(target)
        named = [source for source in sources if not isinstance(source, Stdio)]
        if len(named) < len(sources):
            raise ConfigurationError("- (standard input) must be the only SOURCE")
        return await self.transfer(named, target)

    async def transfer(self, sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace) -> int:
        """
        Copy files and objects, and return the exit code.
        """
        _check_together(sources, target, self._choices.recursive)
        for source in sources if self._choices.recursive else ():
            await _check_paths(source, target)
        storages = await self._storages(sources, target)
        await self.check(sources, target, storages)
        planner = Planner(
            recursive=self._choices.recursive,
            options=self._tree,
            source=storages[0],
            max_key_bytes=storages[1].capabilities.max_key_bytes if storages[1] else None,
        )
        steps = planner.steps(sources, target)
        if self._choices.dry_run:
            return await rehearse(self._output, self.command, self.job(*storages).work().remaining(steps))
        self._tree = await on_cluster(self._tree, self._choices.dask, self._stack)
        job = self.job(*storages)
        with Tally(self._output, self.command, self._report, storages) as tally:
            await carry_out(self._output, tally, self.title, steps, transfer(job))
            await self.finish(tally, sources, storages[0])
            return tally.close()

    async def check(
        self,
        sources: Sequence[LocalPlace | RemotePlace],
        target: LocalPlace | RemotePlace,
        storages: tuple[Storage | None, Storage | None],
    ) -> None:
        """
        Refuse what only another command would do.
        """

    def job(self, source: Storage | None, target: Storage | None) -> TreeJob:
        """
        Return what is done with the items.
        """
        return TreeJob(source, target, self._tree)

    async def finish(self, tally: Tally, sources: Sequence[LocalPlace | RemotePlace], storage: Storage | None) -> None:
        """
        Do what follows after the last item.

        Args:
            storage: The storage of the sources that are URIs.
        """

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
        if self._source_connection.is_set or sources[0].provider != to.root.provider:
            return False
        return to.provider != Provider.LOCAL or all(f"{uri.key}/".startswith(f"{to.root.key}/") for uri in sources)

    def _source(self) -> Connection:
        if self._source_connection.is_set:
            return self._source_connection.connection(self._connection)
        return self._connection

    async def _open(self, connection: Connection, *uris: ObjectURI, folder: bool = False) -> Storage:
        limits: dict[str, Any] = (
            {} if self._choices.concurrency is None else {"max_requests": self._choices.concurrency}
        )
        return await self._stack.enter_async_context(connection.open(*uris, folder=folder, **limits))

    async def _to_stdout(self, sources: Sequence[Place]) -> int:
        for source in sources:
            if not isinstance(source, RemotePlace):
                raise ConfigurationError("only objects can be copied to standard output: give URIs as SOURCE")
            storage = await self._open(self._source(), source.uri)
            async with storage.get(source.uri) as stream:
                await write_output(stream)
        return 0

    async def _from_stdin(self, target: LocalPlace | RemotePlace) -> int:
        if self._choices.continue_:
            raise ConfigurationError("--continue is for files and objects: standard input cannot be read again")
        if not isinstance(target, RemotePlace) or target.slash or not target.uri.key:
            raise ConfigurationError("standard input is copied to one object: give its full URI as TARGET")
        tally = Tally(self._output, "cp")
        storage = await self._open(self._connection, target.uri)
        tally.storages.append(storage)
        tally.began(TreeItem(Path("-"), target.uri))
        options = with_content_type(self._tree.bulk.upload, storage.capabilities, target.uri)
        info = await storage.put(target.uri, read_input(), options=options)
        tally.observe(ProgressEvent(kind="object_done", uri=target.uri, object_bytes_total=info.size))
        tally.finished(BulkResult(done=1, total_bytes=info.size))
        return tally.close()


def _pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in found:
            raise ConfigurationError(f"{option} takes KEY=VALUE, such as owner=me, once for each key, not {pair!r}")
        found[name] = value
    return found


def _check_together(
    sources: Sequence[LocalPlace | RemotePlace], target: LocalPlace | RemotePlace, recursive: bool
) -> None:
    kinds = {source.uri.provider if isinstance(source, RemotePlace) else None for source in sources}
    if len(kinds) > 1:
        raise ConfigurationError("all SOURCEs must be local, or all of one provider")
    if isinstance(target, LocalPlace) and None in kinds:
        raise ConfigurationError("SOURCE and TARGET are both local: one of them must be a URI, such as s3://bucket/key")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ConfigurationError("two SOURCEs have the same name, so one would overwrite the other")
    for source in sources:
        if recursive and _holds(source, target):
            raise ConfigurationError(f"{target} is inside {source}, so the copy would never end")


def _holds(source: LocalPlace | RemotePlace, target: LocalPlace | RemotePlace) -> bool:
    if not isinstance(target, RemotePlace) or not isinstance(source, RemotePlace):
        return False
    apart = (source.uri.provider, source.uri.bucket) != (target.uri.provider, target.uri.bucket)
    return not apart and source.uri != target.uri and target.folder.key.startswith(source.folder.key)


async def _check_paths(source: LocalPlace | RemotePlace, target: LocalPlace | RemotePlace) -> None:
    if isinstance(source, LocalPlace) and isinstance(target, RemotePlace) and source.path.is_dir():
        await check_paths_apart(source.path, target.folder)
    elif isinstance(source, RemotePlace) and isinstance(target, LocalPlace):
        await check_paths_apart(target.path, source.folder)

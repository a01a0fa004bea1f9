"""
``asyncstore uploads``: unfinished multipart uploads, whose parts are billed until someone aborts them.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.look import parse_duration
from asyncstore.cli.output import Output, item_record, moment
from asyncstore.cli.places import remote
from asyncstore.cli.running import OK, run
from asyncstore.cli.settings import Connection
from asyncstore.cli.transfer import Tally
from asyncstore.engine.upload.sweep import is_below
from asyncstore.storage import Storage

uploads = typer.Typer(
    help="List and abort unfinished multipart uploads, whose parts are billed.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_URI = typer.Argument(help="A bucket, a prefix as a directory, or an object.")


@uploads.callback()
def _group() -> None:
    """
    List and abort unfinished multipart uploads, whose parts are billed.
    """


@uploads.command()
@expanded
def ls(uri: Annotated[str, _URI], connection: Connection, output: Output) -> None:
    """
    List unfinished multipart uploads: when they were initiated, their ids, their objects.

    On Azure, these are uploads made with asyncstore; those to a blob that exists are listed only if URI is that blob.
    """

    async def work() -> int:
        count = 0
        async with AsyncExitStack() as stack:
            storage = await _open(uri, connection, stack)
            start = remote(uri).prefix
            async for upload in storage.list_multipart_uploads(start):
                if not is_below(upload.uri, start):
                    continue
                count += 1
                output.record(
                    {
                        "type": "upload",
                        "uri": str(upload.uri),
                        "upload_id": upload.upload_id,
                        "initiated": moment(upload.initiated),
                    }
                )
                when = upload.initiated.strftime("%Y-%m-%d %H:%M:%S") if upload.initiated else "unknown"
                output.line(f"{when:19}  {upload.upload_id}  {upload.uri}")
        output.note(f"{count} unfinished uploads" if count != 1 else "1 unfinished upload")
        return OK

    run(output, work)


@uploads.command()
@expanded
def abort(
    uri: Annotated[str, _URI],
    connection: Connection,
    output: Output,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Only those initiated this long ago: 12h, 7d; 0s for all.")
    ] = "7d",
) -> None:
    """
    Abort unfinished multipart uploads, and forget those that --continue would take up.

    Uploads that are younger, or in progress in another process on this machine with --continue, are skipped. Nothing
    tells whether a program elsewhere is still at an upload.
    """

    async def work() -> int:
        age = parse_duration(older_than)
        tally = Tally(output, "uploads abort")
        async with AsyncExitStack() as stack:
            storage = await _open(uri, connection, stack)
            result = await storage.sweep_uploads(remote(uri).prefix, older_than=age)
        for outcome in result.outcomes:
            if outcome.error is None:
                output.record(item_record(outcome.status, outcome.source, None))
            if outcome.status == "done":
                output.line(f"aborted {outcome.source}")
        tally.finished(result)
        return tally.close()

    run(output, work)


async def _open(uri: str, connection: Connection, stack: AsyncExitStack) -> Storage:
    place = remote(uri)
    return await stack.enter_async_context(connection.open(place.prefix, folder=place.slash))

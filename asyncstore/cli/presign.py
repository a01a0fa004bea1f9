"""
``asyncstore presign``: URLs and forms for access without credentials.
"""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Annotated

import typer

from asyncstore.cli.groups import expanded
from asyncstore.cli.look import parse_duration, parse_range
from asyncstore.cli.output import Output, moment, parse_size
from asyncstore.cli.places import RemotePlace, object_uri, remote
from asyncstore.cli.running import OK, run
from asyncstore.cli.settings import Connection
from asyncstore.errors import ConfigurationError
from asyncstore.options import PostOptions, PresignOptions
from asyncstore.uri import ObjectURI


@expanded
def presign(
    uri: Annotated[str, typer.Argument(help="An object, or for POST a prefix.")],
    connection: Connection,
    output: Output,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="How long the URL is valid: 15m, 1h, 7d, or seconds.")
    ] = "1h",
    method: Annotated[
        str, typer.Option(help="HTTP method that the URL allows; POST makes a form for uploads by browsers and curl.")
    ] = "GET",
    content_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="PUT, POST: the content type of what is uploaded.")
    ] = None,
    no_overwrite: Annotated[bool, typer.Option("--no-overwrite", help="PUT: never replace an object.")] = False,
    min_size: Annotated[str | None, typer.Option(metavar="SIZE", help="POST: bytes of the smallest file.")] = None,
    max_size: Annotated[str | None, typer.Option(metavar="SIZE", help="POST: bytes of the largest file.")] = None,
    range_: Annotated[
        str | None, typer.Option("--range", metavar="START:END", help="GET: only these bytes; END is exclusive.")
    ] = None,
    version_id: Annotated[str | None, typer.Option(metavar="ID", help="This version.")] = None,
    response_content_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="GET: the content type of the reply.")
    ] = None,
    response_content_disposition: Annotated[
        str | None, typer.Option(metavar="TEXT", help="GET: how a browser offers the reply.")
    ] = None,
    response_cache_control: Annotated[
        str | None, typer.Option(metavar="TEXT", help="GET: for caches of the reply.")
    ] = None,
) -> None:
    """
    Create a presigned URL: anyone who has it can read (or write) the object until it expires. Keep it secret.

    The URL goes to stdout; headers that requests must send go to stderr. With --method POST, stdout is a curl command
    that uploads FILE by a presigned form.
    """

    async def work() -> int:
        lifetime = parse_duration(expires)
        options = PresignOptions(
            content_type=content_type,
            if_none_match="*" if no_overwrite else None,
            range=parse_range(range_) if range_ else None,
            version_id=version_id,
            response_content_type=response_content_type,
            response_content_disposition=response_content_disposition,
            response_cache_control=response_cache_control,
        )
        if method.upper() == "POST":
            place = remote(uri)
            fields = _form_options(place, options, min_size, max_size)
            return await _make_form(place.prefix, connection, output, lifetime, fields)
        if min_size or max_size:
            raise ConfigurationError("--min-size and --max-size are for forms: add --method POST, or leave them out")
        target = object_uri(uri)
        async with connection.open(target) as storage:
            url = await storage.presign(target, method=method.upper(), expires=lifetime, options=options)
        output.record(
            {
                "type": "url",
                "uri": str(target),
                "method": method.upper(),
                "url": url,
                "expires": moment(url.expires_at),
                "headers": dict(url.headers),
            }
        )
        output.line(url)
        for name, value in url.headers.items():
            output.note(f"requests must send the header {name}: {value}")
        return OK

    run(output, work)


def _form_options(place: RemotePlace, options: PresignOptions, least: str | None, most: str | None) -> PostOptions:
    if options != PresignOptions(content_type=options.content_type):
        raise ConfigurationError(
            "forms have --content-type, --min-size and --max-size: leave out the other options, or --method POST"
        )
    try:
        return PostOptions(
            prefix=place.slash or not place.uri.key,
            content_type=options.content_type,
            min_size=parse_size(least) if least else 0,
            max_size=parse_size(most) if most else None,
        )
    except ValueError as exc:
        raise ConfigurationError(str(exc)) from None


async def _make_form(
    target: ObjectURI, connection: Connection, output: Output, expires: timedelta, options: PostOptions
) -> int:
    async with connection.open(target) as storage:
        form = await storage.presign_post(target, expires=expires, options=options)
    output.record(
        {
            "type": "form",
            "uri": str(target),
            "url": form.url,
            "fields": dict(form.fields),
            "expires": moment(form.expires_at),
        }
    )
    # Not --form: it reads a file if a value starts with @ or <.
    fields = [text for name, value in form.fields.items() for text in ("--form-string", f"{name}={value}")]
    output.line(shlex.join(["curl", *fields, "--form", "file=@FILE", form.url]))
    return OK

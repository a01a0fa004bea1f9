"""
``asyncstore auth whoami``: show which credentials are found, and where.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any

import anyio
import typer

from asyncstore._support.threads import in_thread
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.factories import BUILT_IN, find_factory
from asyncstore.cli.groups import expanded
from asyncstore.cli.identity import WIDTH, facts_of, show_facts
from asyncstore.cli.output import Output, error_record, one_line
from asyncstore.cli.places import remote
from asyncstore.cli.running import DENIED, OK, exit_code, run
from asyncstore.cli.settings import Connection
from asyncstore.config import AuthConfig, RetryOptions, StorageConfig, take_http_options
from asyncstore.errors import ConfigurationError, StorageError

auth = typer.Typer(help="Inspect credentials.", no_args_is_help=True, rich_markup_mode="markdown")

# Settings of a storage that are not settings of credentials or drivers.
_OF_STORAGE = frozenset(
    {item.name for kind in (StorageConfig, RetryOptions) for item in fields(kind)} - {"region", "settings"}
    | {f"retry_{item.name}" for item in fields(RetryOptions)}
)


@auth.callback()
def _group() -> None:
    """
    Inspect credentials.
    """


@auth.command()
@expanded
def whoami(
    connection: Connection,
    output: Output,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[URI|PROVIDER]", help="A bucket, or a provider such as s3; by default all providers."),
    ] = None,
    auth_type: Annotated[
        str | None, typer.Option(help="The authentication method, instead of the provider's default chain.")
    ] = None,
) -> None:
    """
    Show which credentials are found: the method, the source of each setting, when they expire. Never shows secrets.
    """
    if auth_type is not None:
        connection = replace(connection, set_=[*(connection.set_ or ()), f"auth_type={auth_type}"])

    async def work() -> int:
        if target is None:
            return await _all(connection, output)
        if "://" in target:
            prefix = remote(target).prefix
            async with connection.open(prefix, folder=True) as storage:
                if storage.credentials is None:
                    raise ConfigurationError(f"{storage.provider} storages do not use credentials")
                return await _show(output, storage.credentials)
        async with await in_thread(credentials_of, target, connection) as credentials:
            return await _show(output, credentials)

    run(output, work)


def credentials_of(provider: str, connection: Connection) -> Credentials[Any]:
    """
    Return the credentials that a storage of *provider* would use; nothing is read or sent yet.

    Options must be settings of the credentials. Other settings of environment variables
    and the profile are ignored.

    Raises:
        ConfigurationError: The provider or method is unknown, or a setting is invalid.
    """
    options = connection.from_options()
    if foreign := sorted(_OF_STORAGE & set(options)):
        raise ConfigurationError(
            f"{' and '.join(foreign)} applies to a storage, not to credentials: give a bucket instead of {provider}"
        )
    settings = {**connection.configured(), **options}
    http = take_http_options(settings)
    auth_type, region = settings.pop("auth_type", "default"), settings.pop("region", None)
    rest = {name: value for name, value in settings.items() if name not in _OF_STORAGE}
    own = {name: rest.pop(name) for name in options if name in rest}
    chosen = AuthConfig(provider=provider, auth_type=auth_type, settings=own, region=region)
    return find_factory(provider)(chosen, rest, http=http)


async def _show(output: Output, credentials: Credentials[Any]) -> int:
    await credentials.get()
    show_facts(output, await facts_of(credentials))
    output.record({"type": "summary", "command": "whoami", "ok": True})
    return OK


async def _all(connection: Connection, output: Output) -> int:
    if connection.from_options():
        raise ConfigurationError("settings apply to one provider: name it, such as s3, or give a bucket")
    outcomes: dict[str, dict[str, Any] | StorageError] = {}

    async def look(provider: str) -> None:
        try:
            async with await in_thread(credentials_of, provider, connection) as credentials:
                await credentials.get()
                outcomes[provider] = await facts_of(credentials)
        except StorageError as exc:
            outcomes[provider] = exc

    # In parallel: a missing metadata service takes a second to time out.
    async with anyio.create_task_group() as group:
        for provider in BUILT_IN:
            group.start_soon(look, provider)
    for provider in BUILT_IN:
        _show_briefly(output, provider, outcomes[provider])
    found = any(isinstance(outcome, dict) and not outcome["anonymous"] for outcome in outcomes.values())
    output.record({"type": "summary", "command": "whoami", "ok": found})
    return OK if found else DENIED


def _show_briefly(output: Output, provider: str, outcome: dict[str, Any] | StorageError) -> None:
    if isinstance(outcome, StorageError):
        output.record({**error_record(outcome, exit_code(outcome)), "provider": provider})
        output.line(f"{provider:{WIDTH}} none: {one_line(outcome)}")
        return
    output.record({"type": "credentials", **outcome})
    until = f", until {outcome['expires']}" if outcome["expires"] else ""
    output.line(f"{provider:{WIDTH}} {outcome['method']} ({outcome['source']}){until}")

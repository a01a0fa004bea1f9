"""
``asyncstore doctor``: show the resolved settings and the capabilities, and make a test request.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from asyncstore.cli.environment import Log, environment
from asyncstore.cli.groups import expanded
from asyncstore.cli.identity import WIDTH, facts_of, show_facts
from asyncstore.cli.output import Output, error_record, human, one_line
from asyncstore.cli.places import remote
from asyncstore.cli.running import OK, exit_code, run
from asyncstore.cli.settings import Connection
from asyncstore.driver import Capabilities
from asyncstore.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import ListOptions
from asyncstore.storage import Storage
from asyncstore.uri import ObjectURI

# The first class that matches counts, so subclasses come first.
_ADVICE: Final[tuple[tuple[type[StorageError], str], ...]] = (
    (NotFoundError, "check the bucket's name, and that region and endpoint are those of the bucket"),
    (
        UnauthenticatedError,
        "check the credentials, their source (above) and this machine's clock; "
        "use --no-sign-request for public objects",
    ),
    (
        PermissionDeniedError,
        "the credentials are valid, but not allowed to list here: grant them permission to list this prefix",
    ),
    (ThrottledError, "the provider is throttling requests: try again later"),
    (UnavailableError, "check endpoint, network, proxy and TLS (--ca-file for a private certificate authority)"),
    (ConfigurationError, "correct the setting: an option, an ASYNCSTORE_... variable or the profile"),
    (NotSupportedError, "this provider cannot list"),
    (
        InvalidRequestError,
        "check endpoint and addressing style: the server answers, but does not understand the request",
    ),
)


@expanded
def doctor(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Add versions and the log of the request, for a report of a problem; no secrets."
        ),
    ] = False,
) -> None:
    """
    Check the connection to a provider: show the resolved settings, list one entry, explain errors.
    """

    async def work() -> int:
        if report:
            found = environment()
            output.record({"type": "environment", **found})
            _show(output, "environment", {name: _readable(name, value) for name, value in found.items()})
        prefix = remote(uri).prefix
        try:
            storage = connection.storage(prefix, folder=True)
        except StorageError as exc:
            return _explain(output, exc)
        async with storage:
            return await _examine(output, storage, prefix, log)

    with Log() if report else nullcontext() as log:
        run(output, work)


async def _examine(output: Output, storage: Storage, prefix: ObjectURI, log: Log | None) -> int:
    started = time.perf_counter()
    failed: StorageError | None = None
    try:
        # The first request resolves the credentials.
        await storage.list_page(prefix, options=ListOptions(page_size=1))
    except StorageError as exc:
        failed = exc
    seconds = time.perf_counter() - started
    most = storage.statistics().requests_ceiling
    resolved = {**storage.describe(), "requests": f"up to {most} at a time"}
    output.record({"type": "resolved", **resolved})
    output.record({"type": "capabilities", **_plain(storage.capabilities)})
    _show(output, "resolved", resolved)
    if storage.credentials is not None:
        show_facts(output, await facts_of(storage.credentials))
    _show(
        output, "capabilities", {name: _readable(name, value) for name, value in _plain(storage.capabilities).items()}
    )
    if log is not None:
        output.record({"type": "log", "lines": log.lines})
        for line in ("log", *(f"  {line}" for line in log.lines)):
            output.line(line)
    if failed is not None:
        return _explain(output, failed)
    output.record({"type": "summary", "command": "doctor", "ok": True, "seconds": round(seconds, 4)})
    output.line(f"ok: listed one entry in {seconds * 1000:.1f} ms, including opening the connection")
    return OK


def _explain(output: Output, error: StorageError) -> int:
    advice = next((text for kind, text in _ADVICE if isinstance(error, kind)), None)
    code = exit_code(error)
    output.record({**error_record(error, code), "advice": advice})
    output.complain(f"{type(error).__name__}: {one_line(error)}")
    if advice:
        output.complain(f"advice: {advice}", prefix=False)
    return code


def _show(output: Output, title: str, rows: dict[str, str]) -> None:
    output.line(title)
    for name, value in rows.items():
        output.line(f"  {name:{WIDTH}} {value}")


def _plain(capabilities: Capabilities) -> dict[str, Any]:
    fields = asdict(capabilities)
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in fields.items()}


def _readable(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, int) and name.endswith(("_size", "_bytes")) and not name.startswith(("list", "delete")):
        return human(value)
    return str(value)

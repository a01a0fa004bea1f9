"""
``asyncstore doctor``: what was resolved, what the provider can do, and whether it answers.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

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

# Of every class the first that fits, so the narrower ones come first.
_ADVICE: Final[tuple[tuple[type[StorageError], str], ...]] = (
    (NotFoundError, "check the bucket's name, and that region and endpoint are those it was made in"),
    (
        UnauthenticatedError,
        "check the credentials and where they come from (above), and this machine's clock; "
        "--no-sign-request reads what is public",
    ),
    (PermissionDeniedError, "the credentials are known, and may not list here: ask for the right to list this prefix"),
    (ThrottledError, "the provider asks for fewer requests: try again later"),
    (UnavailableError, "check endpoint, network, proxy and TLS (--ca-file for an authority of your own)"),
    (ConfigurationError, "correct the setting, an option, a variable ASYNCSTORE_... or the profile"),
    (NotSupportedError, "this provider cannot list"),
    (InvalidRequestError, "check endpoint and addressing style: something answers, and does not understand us"),
)


@expanded
def doctor(
    uri: Annotated[str, typer.Argument(help="A bucket or a prefix.")],
    connection: Connection,
    output: Output,
) -> None:
    """
    Check that a provider can be reached: show what was resolved, list one entry, explain what fails.
    """

    async def work() -> int:
        prefix = remote(uri).prefix
        try:
            storage = connection.open(prefix, folder=True)
        except StorageError as exc:
            return _explain(output, exc)
        async with storage:
            return await _examine(output, storage, prefix)

    run(output, work)


async def _examine(output: Output, storage: Storage, prefix: ObjectURI) -> int:
    started = time.perf_counter()
    failed: StorageError | None = None
    try:
        # Credentials are looked for when the first request needs them.
        await storage.list_page(prefix, options=ListOptions(page_size=1))
    except StorageError as exc:
        failed = exc
    seconds = time.perf_counter() - started
    resolved = storage.describe()
    output.record({"type": "resolved", **resolved})
    output.record({"type": "capabilities", **_plain(storage.capabilities)})
    _show(output, "resolved", resolved)
    if storage.credentials is not None:
        show_facts(output, await facts_of(storage.credentials))
    _show(
        output, "capabilities", {name: _readable(name, value) for name, value in _plain(storage.capabilities).items()}
    )
    if failed is not None:
        return _explain(output, failed)
    output.record({"type": "summary", "command": "doctor", "ok": True, "seconds": round(seconds, 4)})
    output.line(f"ok: one entry listed in {seconds * 1000:.1f} ms, opening the connection included")
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
    plain = asdict(capabilities)
    plain["checksums"] = sorted(plain["checksums"])
    return plain


def _readable(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, int) and name.endswith(("_size", "_bytes")) and not name.startswith(("list", "delete")):
        return human(value)
    return str(value)

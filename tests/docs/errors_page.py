"""
Generates the page of errors from their classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from asyncstore import errors
from asyncstore.cli.running import exit_code
from asyncstore.errors import StorageError
from asyncstore.http.errors import error_kind

_INTRO = """\
All derive from `StorageError`, whose attributes have the operation, the URI, the provider, and the provider's own code,
status and request id. *Retried*: whether requests that fail with it are [sent again](../explanation/retries.md).
*Status*: the HTTP statuses that mean it, unless the provider's code says otherwise. *Exit code*: that of the command
line. [Troubleshooting](../how-to/troubleshooting.md) starts from messages.

| error | is a | meaning | retried | status | exit code |
|---|---|---|---|---|---|
"""


def page() -> str:
    """
    Return the page.
    """
    return _INTRO + "".join(map(_row, _classes(StorageError)))


def _classes(kind: type[StorageError]) -> Iterator[type[StorageError]]:
    for found in kind.__subclasses__():
        if found.__module__ == errors.__name__:
            yield found
            yield from _classes(found)


def _row(kind: type[StorageError]) -> str:
    meaning = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ").replace("*", "`")
    statuses = ", ".join(_statuses(kind))
    above = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
    retried = "yes" if kind.default_retryable else "no"
    return f"| `{kind.__name__}` | {above} | {meaning} | {retried} | {statuses} | {exit_code(kind())} |\n"


def _statuses(kind: type[StorageError]) -> Iterator[str]:
    for hundred in (300, 400, 500):
        found = [status for status in range(hundred, hundred + 100) if error_kind(status) is kind]
        # More than a few are what is left of a class of statuses.
        yield from map(str, found) if len(found) < 10 else [f"other {hundred // 100}xx"]

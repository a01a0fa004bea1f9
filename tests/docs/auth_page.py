"""
Generates the page of authentication methods from their declarations.
"""

from __future__ import annotations

from asyncstore.auth.factories import ALIASES
from asyncstore.auth.methods import AuthMethod, Setting
from tests.auth.every_method import TABLES, Tables

_INTRO = """\
`AuthConfig(provider=..., auth_type=..., settings={...})` selects a method and its settings; `open_storage()` takes the
same settings as keywords, with `auth_type=`. Without an `auth_type` the settings imply the method, and without settings
the provider's default chain is used. A setting that is not set is taken from the first of its environment variables
that is set. An unknown setting is an error that lists the known ones.

Where a setting says so, a secret can be text, a `Secret`, or a function that returns one of them, plain or `async`.
Credentials that are *refreshed* expire, and are fetched again before that, once for all concurrent callers. How to use
them: [how to authenticate](../how-to/authenticate.md).
"""


def auth() -> str:
    """
    Return the page.
    """
    return _INTRO + "".join(_provider(tables) for tables in TABLES)


def _provider(tables: Tables) -> str:
    names = [tables.provider, *(alias for alias, name in ALIASES.items() if name == tables.provider)]
    lines = [
        "",
        f"## {tables.name}",
        "",
        "`provider` is " + " or ".join(f"`{name}`" for name in names) + ".",
        "",
        "| `auth_type` | where credentials come from | refreshed | needs | provider's page | tested with |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(tables, method) for method in tables.methods]
    lines += [line for method in tables.methods for line in _details(method)]
    return "\n".join(lines) + "\n"


def _row(tables: Tables, method: AuthMethod) -> str:
    extra = f"`asyncstore[{method.extra}]`" if method.extra else "nothing"
    cells = [
        f"`{method.auth_type}`",
        _cell(method.meaning),
        "yes" if method.refreshes else "no",
        extra,
        f"[page]({method.reference})",
        _tested(tables, method.auth_type),
    ]
    return "| " + " | ".join(cells) + " |"


def _tested(tables: Tables, auth_type: str) -> str:
    names = [name for name, case in tables.cases.items() if case.auth_type == auth_type]
    return f"`tests/auth/{tables.stem}/methods.py`: " + ", ".join(f"`{name}`" for name in names)


def _details(method: AuthMethod) -> list[str]:
    if not method.settings and not method.variables:
        return []
    lines = ["", f"### `{method.auth_type}`", ""]
    if method.settings:
        lines += ["| setting | meaning | variables | secret |", "|---|---|---|---|"]
        lines += [_setting(setting) for setting in method.settings]
    if method.variables:
        lines += ["", "It also reads " + ", ".join(f"`{name}`" for name in method.variables) + "."]
    return lines


def _setting(setting: Setting) -> str:
    names = ", ".join(f"`{name}`" for name in (setting.name, *setting.aliases))
    variables = ", ".join(f"`{name}`" for name in setting.variables)
    return f"| {names} | {_cell(setting.meaning)} | {variables} | {'yes' if setting.secret else ''} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

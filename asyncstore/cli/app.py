"""
The commands together.
"""

from __future__ import annotations

import typer

from asyncstore.cli.cp import cp
from asyncstore.cli.demo import demo
from asyncstore.cli.doctor import doctor
from asyncstore.cli.look import cat, presign, stat
from asyncstore.cli.ls import ls
from asyncstore.cli.rm import rm
from asyncstore.cli.whoami import auth

app = typer.Typer(
    name="asyncstore",
    help="Copy, list and look at objects of any cloud.",
    epilog="Exit codes: 0 done, 1 some items failed, 2 usage or settings, 3 not found, 4 not allowed, "
    "5 unavailable after retries, 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (cp, ls, cat, stat, rm, presign, doctor, demo):
    app.command()(command)
app.add_typer(auth, name="auth")


@app.callback(invoke_without_command=True)
def start(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    """
    Copy, list and look at objects of any cloud.
    """
    if version:
        from asyncstore import __version__

        typer.echo(__version__)
        raise typer.Exit

"""
The command line application.
"""

from __future__ import annotations

import typer

from asyncstore.cli.batch import batch
from asyncstore.cli.cp import cp
from asyncstore.cli.demo import demo
from asyncstore.cli.doctor import doctor
from asyncstore.cli.du import du, find, tree
from asyncstore.cli.look import cat, stat
from asyncstore.cli.ls import ls
from asyncstore.cli.mv import mv
from asyncstore.cli.presign import presign
from asyncstore.cli.rm import rm
from asyncstore.cli.sync import check, sync
from asyncstore.cli.uploads import uploads
from asyncstore.cli.whoami import auth

app = typer.Typer(
    name="asyncstore",
    help="Copy, list and inspect objects in any cloud.",
    epilog="Exit codes: 0 success, 1 some items failed, 2 usage or settings, 3 not found, 4 access denied, "
    "5 unavailable after retries, 129 hung up, 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (cp, mv, sync, check, ls, du, find, tree, cat, stat, rm, presign, doctor, demo):
    app.command()(command)
app.command("run")(batch)
app.add_typer(uploads, name="uploads")
app.add_typer(auth, name="auth")


@app.callback(invoke_without_command=True)
def start(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    """
    Copy, list and inspect objects in any cloud.
    """
    if version:
        from asyncstore import __version__

        typer.echo(__version__)
        raise typer.Exit

"""
The command ``asyncstore``; see ``docs/reference/cli.md``.
"""

from __future__ import annotations

import sys


def main() -> None:
    """
    Run the command with the arguments of this process, and exit.
    """
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ModuleNotFoundError as exc:
        sys.stderr.write(f"asyncstore: the command needs {exc.name}: pip install 'asyncstore[cli]'\n")
        sys.exit(2)
    try:
        from asyncstore.cli.app import app
        from asyncstore.cli.running import quietly

        with quietly():
            app(prog_name="asyncstore")
    except KeyboardInterrupt:
        # Nothing has been started that needs clean-up.
        sys.stderr.write("interrupted\n")
        sys.exit(130)

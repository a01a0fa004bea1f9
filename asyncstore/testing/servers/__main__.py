"""
``python -m asyncstore.testing.servers NAME`` runs one stand-in server until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from asyncstore.testing.servers.stand_in import StandIn

_SERVERS: Final[dict[str, str]] = {
    "github": "asyncstore.testing.servers.github:GitHubServer",
    "oci": "asyncstore.testing.servers.oci:OCIServer",
    "gcs": "asyncstore.testing.servers.gcs:GCSServer",
}


def main() -> None:
    """
    Serve until interrupted.

    The first line of output is the server's URL. Some servers print credentials after it.
    """
    parser = argparse.ArgumentParser(prog="python -m asyncstore.testing.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(_SERVERS))
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: 0, which picks a free one)")
    parser.add_argument("--folder", type=Path, help="folder for the client's configuration files (default: a new one)")
    arguments = parser.parse_args()
    module, _, name = _SERVERS[arguments.name].partition(":")
    server: StandIn = getattr(import_module(module), name)(port=arguments.port)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server, server.introduce(arguments.folder)))


async def _serve(server: StandIn, introduction: list[str]) -> None:
    async with server:
        print(server.url, *introduction, sep="\n", flush=True)  # noqa: T201 - the program's output
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

"""
``python -m asyncstore.testing.servers NAME``: one stand-in, until it is interrupted.
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

    The first line printed is the server's URL; more say how to be let in, with some.
    """
    parser = argparse.ArgumentParser(prog="python -m asyncstore.testing.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(_SERVERS))
    parser.add_argument("--port", type=int, default=0, help="0 takes one that is free")
    parser.add_argument("--folder", type=Path, help="where to write what a client needs; a new one by default")
    given = parser.parse_args()
    module, _, name = _SERVERS[given.name].partition(":")
    server: StandIn = getattr(import_module(module), name)(port=given.port)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server, server.introduce(given.folder)))


async def _serve(server: StandIn, introduction: list[str]) -> None:
    async with server:
        print(server.url, *introduction, sep="\n", flush=True)  # noqa: T201 - what the program is for
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

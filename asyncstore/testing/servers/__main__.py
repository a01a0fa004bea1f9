"""
``python -m asyncstore.testing.servers NAME``: one stand-in, until it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from importlib import import_module
from typing import Final

from asyncstore.testing.servers.stand_in import StandIn

_SERVERS: Final[dict[str, str]] = {
    "oci": "asyncstore.testing.servers.oci:OCIServer",
}


def main() -> None:
    """
    Serve until interrupted; the first line printed is the server's URL.
    """
    parser = argparse.ArgumentParser(prog="python -m asyncstore.testing.servers", description=__doc__)
    parser.add_argument("name", choices=sorted(_SERVERS))
    parser.add_argument("--port", type=int, default=0, help="0 takes one that is free")
    given = parser.parse_args()
    module, _, name = _SERVERS[given.name].partition(":")
    server: StandIn = getattr(import_module(module), name)(port=given.port)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server))


async def _serve(server: StandIn) -> None:
    async with server:
        print(server.url, flush=True)  # noqa: T201 - what the program is for
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()

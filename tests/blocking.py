"""
Calls that block the event loop fail the test.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import coverage
from blockbuster import blockbuster_ctx


@contextmanager
def no_blocking(modules: str | None = "asyncstore") -> Iterator[None]:
    """
    Refuse calls that block a running loop, made by *modules* or what they call; by anything if it is None.
    """
    with blockbuster_ctx(modules) as blocked:
        # The socket does not block, and the file is in memory.
        blocked.functions["os.sendfile"].can_block_in("asyncstore/http/fast/sending.py", "send_file")
        locks = blocked.functions["threading.Lock.acquire"]
        # The loops of two threads may import the same module.
        locks.can_block_in("<frozen importlib._bootstrap>", "acquire")
        if coverage.Coverage.current() is not None:
            # Coverage takes a lock in whichever thread runs a file first; other runs look at locks.
            locks.deactivate()
        yield

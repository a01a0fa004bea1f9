"""
A file that is replaced all the time and counts how often it is read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class CountedFile:
    """
    A named pipe: every reader gets the current result of *content* and is counted.
    """

    def __init__(self, path: Path, content: Callable[[], str]) -> None:
        self.path = path
        self.reads = 0
        self._content = content
        self._stopped = False
        os.mkfifo(path, 0o600)
        self._thread = threading.Thread(target=self._serve, name="counted-file", daemon=True)

    def _serve(self) -> None:
        while True:
            descriptor = os.open(self.path, os.O_WRONLY)
            if self._stopped:
                os.close(descriptor)
                return
            self.reads += 1
            # The next reader has a pipe of its own, however long this one takes.
            following = self.path.with_suffix(".next")
            os.mkfifo(following, 0o600)
            following.replace(self.path)
            with open(descriptor, "w") as pipe, suppress(BrokenPipeError):
                pipe.write(self._content())

    @contextmanager
    def serving(self) -> Iterator[CountedFile]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped = True
            while self._thread.is_alive():
                os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))
                self._thread.join(0.01)

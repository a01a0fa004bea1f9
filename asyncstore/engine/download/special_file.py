"""
Downloads into pipes and devices: these are written into, never replaced.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.engine.download.stream import open_stream
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.requests import Requests
from asyncstore.errors import InvalidRequestError
from asyncstore.options import DownloadOptions
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

# Links such as /dev/stdout, which stand for an open file.
_OPEN_FILES: Final = ("/dev/", "/proc/")

_FLAGS: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Seconds between attempts to open a pipe that nobody reads yet: no call waits for a
# reader and can be interrupted.
_PAUSE: Final = 0.05


class SpecialTarget(Exception):  # noqa: N818 - no failure
    """
    The target of a download is not a regular file.
    """


def is_special(target: Path, status: os.stat_result) -> bool:
    """
    Return whether *target*, whose own status is *status*, must not be replaced by a regular file.

    A symbolic link is replaced, unless it is one of the system's own to an open file.
    """
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        return str(target.absolute()).startswith(_OPEN_FILES)
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


async def write_special(
    requests: Requests, source: ObjectURI, target: Path, options: DownloadOptions, meter: ObjectMeter
) -> ObjectInfo:
    """
    Write an object into a pipe or device. It is compared with its checksum at the end, after it was written.

    Waits for a reader of a pipe, like every program.

    Raises:
        InvalidRequestError: *target* is a socket.
    """
    async with (
        SpecialFile(target) as file,
        open_stream(requests, source, options, keep=True, verify=options.verify, on_retry=meter.retried) as stream,
    ):
        meter.expect(stream.end - stream.start)
        async for chunk in stream:
            await file.write(chunk)
            meter.advance(len(chunk))
        return stream.info


class SpecialFile:
    """
    A pipe or device, open for writing in a block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    async def __aenter__(self) -> Self:
        with local_errors(self._path):
            if stat.S_ISSOCK((await in_thread(os.stat, self._path)).st_mode):
                raise InvalidRequestError(f"{self._path} is a socket: pass the path of a file, a pipe or a device")
            try:
                while not await in_thread(self._open):  # noqa: ASYNC110 - the kernel signals no reader
                    await anyio.sleep(_PAUSE)
            except BaseException:
                self._close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def write(self, data: bytes) -> None:
        """
        Write all of *data*, as fast as it is read.
        """
        view = memoryview(data)
        with local_errors(self._path):
            while view:
                try:
                    view = view[await in_thread(os.write, self._fd, view) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._fd)

    def _open(self) -> bool:
        # What /dev/stdout stands for may be a regular file with other output.
        flags = _FLAGS | os.O_APPEND if self._path.is_file() else _FLAGS
        try:
            self._fd = os.open(self._path, flags)
        except OSError as exc:
            if exc.errno == errno.ENXIO and self._path.is_fifo():
                return False
            raise
        return True

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

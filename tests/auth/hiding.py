"""
Collects output and searches it for secrets.
"""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from asyncstore.cli.output import error_record, one_line
from tests.auth.cases import Running

# Of the servers, which run in the same process and write down what they are asked.
_SERVERS: Final = ("aiohttp.access", "aiohttp.server", "aiohttp.web")


def told(error: Exception) -> str:
    """
    Return what a program prints about *error*, caught or not.
    """
    return f"{one_line(error)} {error_record(error, 1)} {''.join(traceback.format_exception(error))}"


def assert_hidden(running: Running, *texts: str) -> None:
    """
    Check that *texts* contain no secret of *running*, plain or encoded.
    """
    assert running.secrets
    for text in texts:
        for secret in running.secrets:
            assert secret not in text, f"{secret!r} is shown: {_around(text, secret)}"


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 200) : at + 40]


def shown(*things: Any) -> list[str]:
    """
    Return the printed forms of *things*.
    """
    return [show(thing) for thing in things for show in (repr, str)]


@contextmanager
def all_logs() -> Iterator[io.StringIO]:
    """
    Collect what every logger of this process logs at DEBUG.
    """
    collected = io.StringIO()
    handler, root = _Collected(collected), logging.getLogger()
    named = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    # Those without a level have that of the root; each change of a level costs a walk through all loggers.
    loggers = [root, *(logger for logger in named if logger.level or logger.disabled)]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    try:
        yield collected
    finally:
        root.removeHandler(handler)
        for logger, level, disabled in before:
            logger.setLevel(level)
            logger.disabled = disabled


class _Collected(logging.Handler):
    def __init__(self, target: io.StringIO) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_SERVERS):
            self._target.write(self.format(record) + "\n")

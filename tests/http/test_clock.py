"""
The server's clock, learned from replies.
"""

from __future__ import annotations

import pytest

from asyncstore.http.clock import ServerClock

_NOW = 1_800_000_000.0
_DATE = "Fri, 15 Jan 2027 08:{minutes:02}:00 GMT"


def _clock() -> ServerClock:
    return ServerClock(lambda: _NOW)


def test_offset_is_learned_once() -> None:
    """
    A date ten minutes ahead changes the offset; the same date again does not.
    """
    clock, headers = _clock(), {"Date": _DATE.format(minutes=10)}

    assert [True, False] == [clock.learn(headers), clock.learn(headers)]
    assert _NOW + 600 == clock.now()


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 15 Jan 2027 08:00:59 GMT", "Fri, 99 Jan 2027 08:00:59 GMT"])
def test_dates_that_change_nothing(date: str) -> None:
    """
    An invalid date, or one within the tolerance, changes nothing.
    """
    clock = _clock()

    assert not clock.learn({"Date": date})
    assert 0.0 == clock.offset


def test_offset_is_forgotten_when_the_clocks_agree() -> None:
    """
    A learned offset is dropped once the server's clock agrees with this machine's.
    """
    clock = _clock()
    clock.learn({"Date": _DATE.format(minutes=10)})

    assert clock.learn({"Date": _DATE.format(minutes=0)})
    assert 0.0 == clock.offset

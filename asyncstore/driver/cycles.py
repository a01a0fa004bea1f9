"""
Notices that a sequence of tokens or keys repeats itself.
"""

from __future__ import annotations


class Cycle:
    """
    The items of a sequence so far, of which two are kept.

    The item to compare with moves on to the present one after 1, 2, 4, 8, … items, so that a cycle of any length is
    found before three times as many items have passed (R. P. Brent, An Improved Monte Carlo Factorization Algorithm,
    1980, https://doi.org/10.1007/BF01933190).
    """

    def __init__(self) -> None:
        self._last: object = None
        self._kept: object = None
        self._count = 0
        self._next = 1

    def closes(self, item: object) -> bool:
        """
        Add *item* to the sequence; return whether it was there before.
        """
        if item is None:
            return False
        if item in (self._last, self._kept):
            return True
        self._last = item
        self._count += 1
        if self._count == self._next:
            self._kept, self._next = item, 2 * self._next
        return False

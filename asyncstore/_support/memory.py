"""
Memory that the system copies into and out of fast.
"""

from __future__ import annotations

import mmap
from typing import Final

# The default is shared: a forked child would write into the memory of its parent.
_FLAGS: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def page_aligned(size: int) -> memoryview:
    """
    Return *size* writable zero bytes that start at the beginning of a page.

    A large ``bytearray`` starts 16 bytes after it. The system copies the bytes of files and sockets from whole pages,
    and AMD's Zen 3 and 4 need three to four times as long if the target is a few bytes further into its page than the
    source: https://lunnova.dev/articles/ryzen-slow-short-rep-mov/
    """
    # A mapping of no bytes is not possible.
    return memoryview(mmap.mmap(-1, max(1, size), flags=_FLAGS))[:size]

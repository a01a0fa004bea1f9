"""
Memory for the bytes of files and sockets.
"""

import ctypes
import mmap
import os

import pytest

from asyncstore._support.memory import page_aligned


@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_001])
def test_it_begins_with_a_page(size: int) -> None:
    memory = page_aligned(size)

    assert bytes(size) == bytes(memory)
    assert not memory.readonly
    if size:
        assert 0 == ctypes.addressof(ctypes.c_char.from_buffer(memory)) % mmap.PAGESIZE


def test_a_child_has_its_own() -> None:
    """
    What a forked child writes does not change the memory of its parent.
    """
    memory = page_aligned(1)
    child = os.fork()
    if not child:
        memory[0] = 1
        os._exit(0)
    os.waitpid(child, 0)

    assert 0 == memory[0]

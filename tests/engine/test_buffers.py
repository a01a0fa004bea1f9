"""
Memory for parts, used again within the budget.
"""

from __future__ import annotations

from asyncstore.engine.limits import Limits


def test_memory_is_used_again() -> None:
    """
    The next part is given the memory of the last one.
    """
    limits = Limits(1, 100)
    limits.bytes.take(60)
    first = limits.buffers.take(30)
    memory = first.obj

    limits.buffers.give(first)

    assert limits.buffers.take(20).obj is memory


def test_nothing_is_kept_when_nothing_is_under_way() -> None:
    """
    The last part to end takes all unused memory with it.
    """
    limits = Limits(1, 100)
    limits.bytes.take(60)
    one, other = limits.buffers.take(30), limits.buffers.take(30)
    limits.buffers.give(one)
    limits.bytes.release(30)

    limits.buffers.give(other)

    assert limits.buffers.kept == 0


def test_what_is_kept_fits_into_the_budget() -> None:
    """
    Memory that lies unused makes room for what is reserved next.
    """
    limits = Limits(1, 100)
    limits.bytes.take(100)
    buffers = [limits.buffers.take(30) for _ in range(3)]
    for buffer in buffers[:2]:
        limits.buffers.give(buffer)
        limits.bytes.release(30)
    assert limits.buffers.kept == 60

    limits.bytes.take(60)

    assert limits.buffers.kept <= 33


def test_memory_is_handed_on_in_a_full_budget() -> None:
    """
    Parts as large as the budget allows: what one gives back is there for the next, whose bytes are reserved meanwhile.
    """
    limits = Limits(1, 99)
    limits.bytes.take(99)
    buffers = [limits.buffers.take(33) for _ in range(3)]
    memory = buffers[0].obj

    limits.buffers.give(buffers[0])
    limits.bytes.release(33)
    limits.bytes.take(33)

    assert limits.buffers.take(33).obj is memory

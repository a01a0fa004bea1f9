"""
A memory storage with fault injection, and checks after every test.
"""

from tests.memory_fixtures import (
    faults,
    memory,
    no_task_left,
    nothing_blocks,
    small_chunks,
    storage,
    threads_inline,
)

__all__ = ["faults", "memory", "no_task_left", "nothing_blocks", "small_chunks", "storage", "threads_inline"]

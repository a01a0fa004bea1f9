"""
A memory storage with injected faults, and checks that run after every test.
"""

from tests.memory_fixtures import faults, memory, no_task_left, nothing_blocks, storage, threads_inline

__all__ = ["faults", "memory", "no_task_left", "nothing_blocks", "storage", "threads_inline"]

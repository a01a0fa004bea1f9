"""
Memory with injected faults for all tests of this folder, and a check that no task is left.
"""

from tests.memory_fixtures import faults, memory, no_task_left, nothing_blocks, storage

__all__ = ["faults", "memory", "no_task_left", "nothing_blocks", "storage"]

"""
Objects in this process's memory, with the semantics of the strictest cloud.

A test double for users' own tests: ``memory://bucket``, any bucket exists.
Every storage opened is a world of its own, unless it is given a name to share
it under: ``shared="name"``. A shared world lasts as long as the process.

Any field of :class:`~asyncstore.driver.Capabilities` can be set as well, to test
against narrower limits or a provider that lacks something::

    open_storage("memory://bucket", min_part_size=5 * MiB, max_put_size=10 * MiB)
"""

from asyncstore.drivers.memory.driver import MemoryDriver, open_driver

__all__ = ["MemoryDriver", "open_driver"]

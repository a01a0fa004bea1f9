"""
Objects in this process's memory, with the rules of the strictest of S3, GCS and OCI.

A test double for your own tests: ``memory://bucket``, where any bucket exists.
Every storage has its own objects, unless storages share them under a name:
``shared="name"``. Shared objects live as long as the process.

What one of them refuses is refused: keys with line breaks, the keys ``.`` and ``..``, metadata
keys that cannot be part of a header's name, metadata values with spaces around them, parts
smaller than 5 MiB that are not the last. Azure alone also refuses keys with a backslash or
with the segments ``.`` and ``..``; memory takes them, so that a program can be tested with keys
that others chose.

``presign`` returns URLs that a small server of this process serves on loopback, to any client,
until the storage is closed. ``versioning=True`` keeps the versions that are replaced or deleted;
without it each object is its only version.

Any field of :class:`~asyncstore.driver.Capabilities` is a setting as well, to test
with smaller limits or without a capability::

    open_storage("memory://bucket", min_part_size=1, max_put_size=10 * MiB, sign=False)
"""

from asyncstore.drivers.memory.driver import MemoryDriver, open_driver

__all__ = ["MemoryDriver", "open_driver"]

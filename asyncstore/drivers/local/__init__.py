"""
Objects in files below a directory: ``file:///absolute/root``.

The key of an object is what follows the root and a ``/`` in its URI, verbatim;
:mod:`~asyncstore.drivers.local.names` says which file that is. Any ordinary tree
of files can be read as it is. What a file system cannot hold is in a directory
``.asyncstore`` below the root, which the first write makes and no listing shows:

* ``meta``: headers, user metadata and checksums (:mod:`~asyncstore.drivers.local.sidecar`);
* ``tmp``: files in the making;
* ``uploads``: unfinished uploads by parts (:mod:`~asyncstore.drivers.local.uploads`);
* ``locks``: files that are locked while an object is put in place or removed.

A process that is killed leaves the old object or the new one, and at most junk
in ``tmp``, which the first write of a later driver removes when it is a day old,
and in ``meta``, of which it removes a few.
Unfinished uploads stay until they are aborted, as on a cloud.

Symbolic links below the root are not followed: reading, writing or deleting
through one raises :class:`~asyncstore.errors.PermissionDeniedError`, and listings
leave them out, as they do pipes, devices and names that are not UTF-8.

Settings:
    sync: Flush files and directories to the disk before a write returns, so that
        it survives a power cut; on by default. Deletions are not flushed.
"""

from asyncstore.drivers.local.driver import LocalDriver, open_driver

__all__ = ["LocalDriver", "open_driver"]

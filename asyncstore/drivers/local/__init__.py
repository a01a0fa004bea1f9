"""
Objects in files below a directory: ``file:///absolute/root``.

The key of an object is the part of its URI after the root and a ``/``, verbatim;
:mod:`~asyncstore.drivers.local.names` maps keys to files. Any existing directory
can be read as it is. Data that has no place in the files themselves is in a directory
``.asyncstore`` below the root, which the first write creates and listings leave out:

* ``meta``: headers, user metadata and checksums (:mod:`~asyncstore.drivers.local.sidecar`);
* ``tmp``: temporary files of writes;
* ``uploads``: unfinished multipart uploads (:mod:`~asyncstore.drivers.local.uploads`);
* ``locks``: files that are locked while an object is replaced or deleted. Deletions alone
  make none.

A directory below one that has ``.asyncstore`` shows the same objects with the same metadata: what is written there is
written to the outer root, which the first request looks for (:mod:`~asyncstore.drivers.local.roots` says where).
Operations stay confined to the directory that was opened.

A killed process leaves the old object or the new one, and possibly stale files in
``tmp`` and ``meta``. The first write of a later driver removes those in ``tmp`` that
are a day old, and a few of those in ``meta``.
Unfinished uploads stay until they are aborted, as on a cloud.

Symbolic links below the root are not followed: reading, writing or deleting
through one raises :class:`~asyncstore.errors.PermissionDeniedError`, and listings
leave them out, like pipes, devices, names that are not UTF-8 and temporary files of downloads.

A new object has the mode of the file that it replaces, or that of the umask.

Settings:
    sync: Flush files and directories to disk before a write returns, so that
        it survives a power failure; on by default. Deletions are not flushed.
"""

from asyncstore.drivers.local.driver import LocalDriver, open_driver

__all__ = ["LocalDriver", "open_driver"]

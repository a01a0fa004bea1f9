"""
Blocking calls, for scripts, threads and notebooks.

::

    from asyncstore import sync

    with sync.open_storage("s3://models") as storage:
        storage.put("hello.txt", b"hello")
        for info in storage.list():
            print(info.key, info.size)

Every verb of :class:`asyncstore.Storage` has a blocking form with the same arguments, which runs it in one background
thread with an event loop, for all storages of the process.
"""

from asyncstore.sync.files import File as File
from asyncstore.sync.files import Items as Items
from asyncstore.sync.files import Stream as Stream
from asyncstore.sync.storage import Storage as Storage
from asyncstore.sync.storage import cached as cached
from asyncstore.sync.storage import compare_trees as compare_trees
from asyncstore.sync.storage import copy_between as copy_between
from asyncstore.sync.storage import copy_tree as copy_tree
from asyncstore.sync.storage import delete_tree as delete_tree
from asyncstore.sync.storage import download_tree as download_tree
from asyncstore.sync.storage import open_storage as open_storage
from asyncstore.sync.storage import read_only as read_only
from asyncstore.sync.storage import replicated as replicated
from asyncstore.sync.storage import routed as routed
from asyncstore.sync.storage import sync_tree as sync_tree
from asyncstore.sync.storage import throttled as throttled
from asyncstore.sync.storage import under as under
from asyncstore.sync.storage import upload_tree as upload_tree
from asyncstore.sync.wrapper import run as run

__all__ = [
    "File",
    "Items",
    "Storage",
    "Stream",
    "cached",
    "compare_trees",
    "copy_between",
    "copy_tree",
    "delete_tree",
    "download_tree",
    "open_storage",
    "read_only",
    "replicated",
    "routed",
    "run",
    "sync_tree",
    "throttled",
    "under",
    "upload_tree",
]

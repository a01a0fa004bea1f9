"""
What file systems and files derive from. fsspec comes without types, and what type checkers infer from its sources does
not fit what it documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    AbstractAsyncStreamedFile: Any
    AbstractBufferedFile: Any
    AsyncFileSystem: Any
    sync: Any
    sync_wrapper: Any
else:
    from fsspec.asyn import AbstractAsyncStreamedFile, AsyncFileSystem, sync, sync_wrapper
    from fsspec.spec import AbstractBufferedFile

__all__ = ["AbstractAsyncStreamedFile", "AbstractBufferedFile", "AsyncFileSystem", "sync", "sync_wrapper"]

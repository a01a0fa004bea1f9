"""
Names that are asked for and that a tree does not have.
"""

from __future__ import annotations

from pathlib import Path

from asyncstore._support.os_errors import local_errors
from asyncstore._support.threads import in_thread
from asyncstore.errors import InvalidRequestError, NotFoundError, StorageError
from asyncstore.storage.safe_path import relative_parts
from asyncstore.storage.tree_options import PathFilter, parents
from asyncstore.storage.walk import TreeProblem
from asyncstore.uri import ObjectURI


class Missing:
    """
    Which of the names that a filter has, if it has any, are not found.
    """

    def __init__(self, wanted: PathFilter) -> None:
        self._names = {name for name in wanted.names or () if wanted(name)}
        self._folders = wanted.folders

    def found(self, name: str) -> None:
        """
        A file or object of the tree has this name, or it is left out.
        """
        if not self._names:
            return
        self._names.discard(name)
        if self._folders:
            self._names.difference_update(parents(f"{name.rstrip('/')}/"))

    async def problems(self, tree: Path | ObjectURI) -> list[TreeProblem]:
        """
        Return the failures of the names that have not been found in *tree*, a directory or a prefix.
        """
        if isinstance(tree, ObjectURI):
            return [_missing_object(tree, name) for name in sorted(self._names)]
        with local_errors(tree):
            return await in_thread(lambda: [found for name in sorted(self._names) if (found := _missing(tree, name))])


def _missing(root: Path, name: str) -> TreeProblem | None:
    try:
        path = root.joinpath(*relative_parts(name.removesuffix("/")))
        if path.is_dir():
            if name.endswith("/"):
                # Without files.
                return None
            return TreeProblem(path, InvalidRequestError(f"{path} is a directory: {name}/ names everything below it"))
    except StorageError as exc:
        return TreeProblem(root / name, exc)
    return TreeProblem(path, NotFoundError(f"{path} does not exist, or is no file"))


def _missing_object(folder: ObjectURI, name: str) -> TreeProblem:
    try:
        uri = folder / name
    except StorageError as exc:
        return TreeProblem(folder, exc)
    return TreeProblem(uri, NotFoundError("no object has this key", uri=str(uri)))

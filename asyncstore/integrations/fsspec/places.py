"""
Paths of file systems: the root of a storage, and the key of an object in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyncstore.uri import parse_uri


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a path leads.

    Attributes:
        root: The URI of the storage.
        prefix: What all paths in this storage begin with; ends in a slash.
        key: The key of the object, or of a directory without the slash at its end.
    """

    root: str
    prefix: str
    key: str

    @property
    def folder(self) -> str:
        """What the keys below this directory begin with."""
        return f"{self.key}/" if self.key else ""


class PathForm:
    """
    Paths that begin with a fixed number of names before the key, such as ``bucket/key``.

    Args:
        scheme: The scheme of URIs that are written with the same names.
        names: How many there are.
        example: Such names, for errors.
    """

    def __init__(self, scheme: str, names: int = 1, example: str = "bucket") -> None:
        self._scheme = scheme
        self._names = names
        self.example = example

    def place(self, path: str) -> Place | None:
        """
        Return where *path* leads; ``None`` for one that ends before the key begins.

        Raises:
            ValueError: It leads nowhere.
        """
        names = path.split("/", self._names)
        if len(names) < self._names or not all(names[: self._names]):
            return None
        root = "/".join(names[: self._names])
        return Place(f"{self._scheme}://{root}", f"{root}/", names[self._names] if len(names) > self._names else "")


class OCIForm(PathForm):
    """
    ``namespace/bucket/key``, or ``bucket@namespace/key`` as in ocifs.
    """

    def place(self, path: str) -> Place | None:
        first = path.partition("/")[0]
        # namespace@region/bucket has an @, too, and is told by the same rule as everywhere.
        if "@" in first and parse_uri(f"oci://{first}/key").key:
            return PathForm("oci").place(path)
        return super().place(path)


class GitHubForm(PathForm):
    """
    ``owner/repo/releases/tag/asset``.
    """

    def place(self, path: str) -> Place | None:
        place = super().place(path)
        if place is not None and not place.prefix.endswith("/releases/"):
            raise ValueError(f"{path!r} is not an asset of a release: write owner/repo/releases/tag/asset")
        return place


class FileForm(PathForm):
    """
    Absolute paths below one directory.

    A storage of files has a directory of its own in its root, so the file system ``/`` cannot be one for every user.

    Args:
        root: That directory.
    """

    def __init__(self, root: Path) -> None:
        super().__init__("file", example="directory")
        self._root = root.absolute().as_posix()
        self._inside = f"{self._root.rstrip('/')}/"

    def place(self, path: str) -> Place | None:
        if path == self._root:
            return Place(f"file://{self._root}", self._inside, "")
        if not path.startswith(self._inside):
            raise ValueError(f"{path!r} is not below {self._root}: name a directory above it, such as root='/data'")
        return Place(f"file://{self._root}", self._inside, path.removeprefix(self._inside))

"""
What an argument names: a local path, an object or prefix, or standard input and output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.uri import ObjectURI, Provider, parse_uri


@dataclass(frozen=True)
class LocalPlace:
    """
    A path of this machine.

    Attributes:
        slash: Whether it was written with a slash at its end.
    """

    path: Path
    slash: bool

    @property
    def name(self) -> str:
        """What it is called in the directory that it is in."""
        return self.path.absolute().name

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class RemotePlace:
    """
    An object, a prefix or a bucket.
    """

    uri: ObjectURI
    slash: bool

    @property
    def name(self) -> str:
        """The last segment of its key, or the bucket's name."""
        return self.uri.key.rstrip("/").rpartition("/")[2] or self.uri.bucket

    @property
    def folder(self) -> ObjectURI:
        """The prefix of what is below it."""
        key = self.uri.key
        return self.uri if not key or key.endswith("/") else self.uri.with_key(f"{key}/")

    @property
    def prefix(self) -> ObjectURI:
        """What it is as the start of keys: text, unless it is known to be a directory."""
        return self.folder if self.slash else self.uri

    def __str__(self) -> str:
        return str(self.uri)


@dataclass(frozen=True)
class Stdio:
    """
    Standard input as a source, standard output as a target.
    """

    name: str = "-"

    def __str__(self) -> str:
        return "-"


Place = LocalPlace | RemotePlace | Stdio


def place(text: str) -> Place:
    """
    Read an argument: ``-``, whatever has ``://`` in it, or else a path.

    Raises:
        InvalidURIError: It has ``://`` in it and is no URI.
    """
    if text == "-":
        return Stdio()
    if "://" in text:
        return _remote(parse_uri(text), text.endswith("/"))
    if not text:
        raise ConfigurationError("an argument is empty")
    return LocalPlace(Path(text), text.endswith("/"))


def _remote(uri: ObjectURI, slash: bool) -> RemotePlace:
    # A directory is one also without the slash; of a bucket only the writer knows.
    return RemotePlace(uri, slash or (uri.provider == Provider.LOCAL and Path("/", uri.key).is_dir()))


def remote(text: str) -> RemotePlace:
    """
    Read an argument that has to be a URI.
    """
    return _remote(parse_uri(text), text.endswith("/"))


def object_uri(text: str) -> ObjectURI:
    """
    Read an argument that has to name one object.
    """
    uri = parse_uri(text)
    if not uri.key:
        raise InvalidURIError(f"{text!r} names no object: join a key to it")
    return uri

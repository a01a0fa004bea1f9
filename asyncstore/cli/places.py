"""
The arguments of commands: local paths, objects and prefixes, standard input and output.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.uri import ObjectURI, Provider, parse_uri


@dataclass(frozen=True)
class LocalPlace:
    """
    A local path.

    Attributes:
        slash: Whether the argument ends in a slash.
    """

    path: Path
    slash: bool

    @property
    def name(self) -> str:
        """Its last segment, also for a relative path such as ``.``."""
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
        """The prefix of the objects below it: its key with a slash at the end."""
        key = self.uri.key
        return self.uri if not key or key.endswith("/") else self.uri.with_key(f"{key}/")

    @property
    def prefix(self) -> ObjectURI:
        """The prefix to list: its key as text, or :attr:`folder` if it is known to be a directory."""
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
    Parse an argument: ``-``, a URI (anything with ``://``), or else a path.

    Raises:
        InvalidURIError: *text* contains ``://`` and is not a valid URI.
    """
    if text == "-":
        return Stdio()
    if "://" in text:
        return _remote(parse_uri(text), text.endswith("/"))
    if not text:
        raise ConfigurationError("an argument is empty: give a path, a URI or -")
    return LocalPlace(Path(text), text.endswith("/"))


def _remote(uri: ObjectURI, slash: bool) -> RemotePlace:
    # A local directory can be recognized without a trailing slash; a prefix cannot.
    return RemotePlace(uri, slash or (uri.provider == Provider.LOCAL and Path("/", uri.key).is_dir()))


def remote(text: str) -> RemotePlace:
    """
    Parse an argument that must be a URI.
    """
    return _remote(parse_uri(text), text.endswith("/"))


def object_uri(text: str) -> ObjectURI:
    """
    Parse an argument that must be the URI of one object.
    """
    uri = parse_uri(text)
    if not uri.key:
        raise InvalidURIError(f"{text!r} is not the URI of an object: add a key to it")
    return uri

"""
Every provider as a file system of fsspec. Needs ``asyncstore[fsspec]``.

fsspec finds the file systems by the protocols ``asyncstore+s3``, ``asyncstore+gs``, ``asyncstore+azure``,
``asyncstore+oci``, ``asyncstore+github``, ``asyncstore+file`` and ``asyncstore+memory``; :func:`register` puts them in
the place of those that other packages have for ``s3``, ``gs``, ``az`` and ``oci``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

try:
    from fsspec import register_implementation
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[fsspec]'") from None

from asyncstore.integrations.fsspec.filesystem import AsyncstoreFileSystem
from asyncstore.integrations.fsspec.places import FileForm, GitHubForm, OCIForm, PathForm

__all__ = [
    "AsyncstoreFileSystem",
    "AzureFileSystem",
    "GCSFileSystem",
    "GitHubFileSystem",
    "LocalFileSystem",
    "MemoryFileSystem",
    "OCIFileSystem",
    "S3FileSystem",
    "register",
]


class S3FileSystem(AsyncstoreFileSystem):
    """
    S3 and compatible services: ``asyncstore+s3://bucket/key``.

    Takes ``key``, ``secret``, ``token``, ``anon`` and the ``endpoint_url``, ``region_name`` and ``verify`` of
    ``client_kwargs``, too, as s3fs calls them.
    """

    protocol: ClassVar[Any] = ("asyncstore+s3", "s3", "s3a")
    form = PathForm("s3")

    def _translated(self, settings: dict[str, Any]) -> dict[str, Any]:
        given = dict(settings)
        client = {
            _S3FS_CLIENT.get(name, name): value for name, value in (given.pop("client_kwargs", None) or {}).items()
        }
        return {**client, **{_S3FS.get(name, name): value for name, value in given.items()}}


_S3FS: Final[Mapping[str, str]] = {
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
    "anon": "anonymous",
}
_S3FS_CLIENT: Final[Mapping[str, str]] = {"region_name": "region"}


class GCSFileSystem(AsyncstoreFileSystem):
    """
    Google Cloud Storage: ``asyncstore+gs://bucket/key``.

    Takes ``token="anon"``, too, as gcsfs does.
    """

    protocol: ClassVar[Any] = ("asyncstore+gs", "gs", "gcs")
    form = PathForm("gs")

    def _translated(self, settings: dict[str, Any]) -> dict[str, Any]:
        if settings.get("token") != "anon":
            return settings
        return {**{name: value for name, value in settings.items() if name != "token"}, "anonymous": True}


class AzureFileSystem(AsyncstoreFileSystem):
    """
    Azure Blob Storage: ``asyncstore+azure://container/key``, or ``container@account/key``.

    Without an account in the path it is that of the settings or the environment. Takes ``anon``, too, as adlfs does.
    """

    protocol: ClassVar[Any] = ("asyncstore+azure", "az", "abfs", "abfss")
    form = PathForm("azure", example="container")

    def _translated(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"anonymous" if name == "anon" else name: value for name, value in settings.items()}


class OCIFileSystem(AsyncstoreFileSystem):
    """
    OCI Object Storage: ``asyncstore+oci://namespace/bucket/key``, or ``bucket@namespace/key`` as in ocifs.
    """

    protocol: ClassVar[Any] = ("asyncstore+oci", "oci")
    form = OCIForm("oci", 2, "namespace/bucket")


class GitHubFileSystem(AsyncstoreFileSystem):
    """
    Assets of releases: ``asyncstore+github://owner/repo/releases/tag/asset``.
    """

    protocol: ClassVar[Any] = "asyncstore+github"
    form = GitHubForm("github", 3, "owner/repo/releases")


class MemoryFileSystem(AsyncstoreFileSystem):
    """
    Objects in this process's memory: ``asyncstore+memory://bucket/key``.

    All file systems of the process share them, unless the setting ``shared`` is another name.
    """

    protocol: ClassVar[Any] = "asyncstore+memory"
    form = PathForm("memory")

    def _translated(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"shared": "fsspec", **settings}


class LocalFileSystem(AsyncstoreFileSystem):
    """
    Files of this machine as objects: ``asyncstore+file:///directory/name``.

    Args:
        root: The directory that is the storage, by default the current one; paths lead to files below it.
        settings: Those of :class:`AsyncstoreFileSystem`.
    """

    protocol: ClassVar[Any] = "asyncstore+file"
    root_marker = "/"

    def __init__(self, *args: Any, root: str | Path | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.form = FileForm(Path.cwd() if root is None else Path(root))


_CLASSES: Final[Mapping[str, type[AsyncstoreFileSystem]]] = {
    **dict.fromkeys(("s3", "s3a"), S3FileSystem),
    **dict.fromkeys(("gs", "gcs"), GCSFileSystem),
    **dict.fromkeys(("az", "abfs", "abfss"), AzureFileSystem),
    "oci": OCIFileSystem,
}


def register(*protocols: str) -> None:
    """
    Let fsspec use asyncstore for *protocols*, by default ``s3``, ``s3a``, ``gs``, ``gcs``, ``az``, ``abfs``, ``abfss``
    and ``oci``.

    In this process, and for file systems that are made from now on.

    Raises:
        ValueError: A protocol is another one.
    """
    if unknown := [name for name in protocols if name not in _CLASSES]:
        raise ValueError(f"register() takes {', '.join(_CLASSES)}, not {', '.join(unknown)}")
    for name in protocols or _CLASSES:
        register_implementation(name, _CLASSES[name], clobber=True)

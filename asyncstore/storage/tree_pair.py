"""
The two trees of a sync: what they can be, and that neither contains the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from asyncstore._support.threads import in_thread
from asyncstore.driver import Driver
from asyncstore.driver.forwarding import ForwardingDriver
from asyncstore.errors import ConfigurationError
from asyncstore.storage.pairs import Tree, root_folder
from asyncstore.storage.storage import Storage
from asyncstore.uri import ObjectURI, Provider

# Providers with one bucket of a name at an endpoint, whose it may be. With others an account or tenancy has its own.
_SHARED_NAMES: Final = frozenset({Provider.S3, Provider.GCS})

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

# https://docs.aws.amazon.com/general/latest/gr/s3.html
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")
_AMAZON_CHINA: Final = ".cn"


def two_trees(source: Tree | str, target: Tree | str) -> tuple[Tree, Tree]:
    """
    Return the trees that the arguments are; text is a path.

    Raises:
        TypeError: An argument is neither a path nor a storage, or text that is a URI.
        ConfigurationError: Both are local paths.
    """
    trees = _tree("source", source), _tree("target", target)
    if not any(isinstance(tree, Storage) for tree in trees):
        raise ConfigurationError("source and target are both local: open one of them as a storage, file:///path/")
    return trees


def _tree(name: str, value: object) -> Tree:
    if isinstance(value, str) and "://" in value:
        raise TypeError(f"{name} takes a path or a Storage, not a URI: open it with open_storage()")
    if isinstance(value, str):
        return Path(value)
    if not isinstance(value, Path | Storage):
        raise TypeError(f"{name} takes a path or a Storage, not {type(value).__name__}")
    return value


async def check_paths_apart(path: Path, folder: ObjectURI) -> None:
    """
    Refuse a directory and the *folder* of a ``file://`` storage of which one contains the other.

    Raises:
        ConfigurationError: They are the same, or one is inside the other.
    """
    if folder.provider == Provider.LOCAL:
        inside, around = await _nested(path, Path("/", folder.key))
        _refuse_nested(path, folder, inside, around)


async def check_apart(source: Tree, target: Tree) -> None:
    """
    Refuse trees of which one contains the other: a sync would read what it writes, and delete what it reads.

    No request is made: two names of one host, and proxies, are not recognized.

    Raises:
        ConfigurationError: They are the same, or one is inside the other.
    """
    one, other = directory_of(source), directory_of(target)
    if one is not None and other is not None:
        inside, around = await _nested(one, other)
    elif isinstance(source, Storage) and isinstance(target, Storage) and _one_store(source, target):
        below, base = root_folder(source.root).key, root_folder(target.root).key
        inside, around = base.startswith(below), below.startswith(base)
    else:
        return
    _refuse_nested(_told(source), _told(target), inside, around)


async def check_folders_apart(source: Storage, below: ObjectURI, target: Storage, base: ObjectURI) -> None:
    """
    Refuse two folders of storages of which one contains the other, as :func:`check_apart` does.

    Raises:
        ConfigurationError: They are the same, or one is inside the other.
    """
    if below.provider == base.provider == Provider.LOCAL:
        inside, around = await _nested(Path("/", below.key), Path("/", base.key))
    elif below.bucket == base.bucket and is_one_endpoint(source, target):
        inside, around = base.key.startswith(below.key), below.key.startswith(base.key)
    else:
        return
    _refuse_nested(below, base, inside, around)


async def _nested(one: Path, other: Path) -> tuple[bool, bool]:
    # By their real paths, since links lead to the same files.
    one, other = await in_thread(one.resolve), await in_thread(other.resolve)
    return other.is_relative_to(one), one.is_relative_to(other)


def _refuse_nested(source: object, target: object, inside: bool, around: bool) -> None:
    if inside and around:
        raise ConfigurationError(f"source and target are the same: {source}")
    if inside or around:
        outer, inner = (source, target) if inside else (target, source)
        raise ConfigurationError(
            f"{inner} is inside {outer}, so what is written or deleted would be a part of the source, too"
        )


def _told(tree: Tree) -> object:
    return tree.root if isinstance(tree, Storage) else tree


def directory_of(tree: Tree) -> Path | None:
    """
    Return the directory of a tree of files; ``None`` for one of a service.
    """
    if isinstance(tree, Path):
        return tree
    return Path("/", tree.root.key) if tree.root.provider == Provider.LOCAL else None


def _one_store(source: Storage, target: Storage) -> bool:
    return source.root.bucket == target.root.bucket and is_one_endpoint(source, target)


def is_one_endpoint(source: Storage, target: Storage) -> bool:
    """
    Return whether buckets of one name are one bucket in both storages, as far as can be told without a request.
    """
    if source.root.provider != target.root.provider:
        return False
    if _innermost(source) is _innermost(target):
        return True
    if source.root.provider == Provider.MEMORY:
        return False
    if _configured(source) == _configured(target):
        return True
    return source.root.provider in _SHARED_NAMES and _endpoint(source) == _endpoint(target)


def _innermost(storage: Storage) -> Driver:
    driver = storage._driver  # noqa: SLF001 - compared only
    while isinstance(driver, ForwardingDriver):
        driver = driver.driver
    return driver


def _configured(storage: Storage) -> list[object]:
    config = storage._config  # noqa: SLF001 - compared, never shown
    uri = config.uri
    return [uri.namespace, uri.region, config.endpoint_url, config.region, config.auth, dict(config.settings)]


def _endpoint(storage: Storage) -> tuple[object, ...]:
    """
    Return what is the same for all spellings of one endpoint, without asking for addresses.
    """
    url = urlsplit(storage.describe().get("endpoint") or "")
    host = (url.hostname or "").rstrip(".")
    if host.endswith(_AMAZON):
        # Regional, dual-stack and virtual-hosted names: a bucket's name is unique among all regions of a partition.
        return (host.endswith(_AMAZON_CHINA), _AMAZON)
    if host in _LOOPBACK:
        host = "localhost"
    return (url.scheme, host, url.port or _PORTS.get(url.scheme), url.path.rstrip("/"))

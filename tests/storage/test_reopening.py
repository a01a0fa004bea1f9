"""
Storages are pickled as how they were opened, and never with a secret.
"""

from __future__ import annotations

import functools
import pickle
import ssl
import sys
import uuid
from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import cloudpickle
import pytest

from asyncstore import (
    AuthConfig,
    ConfigurationError,
    HTTPOptions,
    InvalidURIError,
    PermissionDeniedError,
    Storage,
    StorageConfig,
    cached,
    from_environment,
    open_storage,
    read_only,
    replicated,
    routed,
    throttled,
    under,
)
from asyncstore.driver import Driver, ForwardingDriver
from asyncstore.testing.faults import FaultyDriver
from tests.servers.s3 import S3Server, blocking_client

SECRET = "hush-hush"


def again(storage: Storage) -> Storage:
    return cloudpickle.loads(pickle.dumps(storage))  # type: ignore[no-any-return]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "objects").mkdir()
    return f"file://{tmp_path}/objects/"


async def written(storage: Storage) -> None:
    async with storage:
        await storage.put("a", b"data")


@pytest.mark.parametrize("copied", [again, lambda it: cloudpickle.loads(cloudpickle.dumps(it)), copy, deepcopy])
async def test_storage_opens_the_same(copied: Callable[[Storage], Storage], folder: str) -> None:
    """A pickled or copied storage is one of its own, whether the first one is open or closed."""
    first = open_storage(folder, attempts=2, sync=False)
    second = copied(first)
    await written(first)
    third = copied(first)

    assert second.root == first.root
    assert second._config == first._config
    for storage in (second, third):
        async with storage:
            assert await storage.read("a") == b"data"
    with pytest.raises(RuntimeError, match="closed"):
        await first.read("a")


async def test_configuration(folder: str) -> None:
    """A storage that was opened with a configuration is pickled as that."""
    config = StorageConfig.build(folder, {"max_requests": 3, "settings": {"sync": False}})

    async with again(open_storage(config)) as storage:
        assert storage._config == config


def wrapped_in_all(storage: Storage, cache: Path) -> Storage:
    return throttled(cached(read_only(under(storage, "sub")), max_bytes=10_000, directory=cache), requests_per_second=9)


async def test_wrapped_storages(folder: str, tmp_path: Path) -> None:
    """Wrappers are pickled with what they wrap, which is closed with them: nobody else has it."""
    async with open_storage(folder, sync=False) as first:
        await first.put("sub/a", b"data")
        copied = again(wrapped_in_all(first, tmp_path / "cache"))

    async with copied:
        assert await copied.read("a") == b"data"
        assert set(copied.describe()) >= {"confined_to", "access", "cache"}
        with pytest.raises(PermissionDeniedError):
            await copied.put("a", b"other")
        with pytest.raises(InvalidURIError):
            await copied.read(first.root / "outside")
        innermost = copied
        while innermost._owned:
            (innermost,) = innermost._owned
        assert not innermost._checks.closed
    assert innermost._checks.closed


async def test_routed_storage(tmp_path: Path) -> None:
    """A routed storage is pickled with all of its storages, and closes all."""
    for name in ("hot", "cold"):
        (tmp_path / name).mkdir()
    hot, cold = (open_storage(f"file://{tmp_path}/{name}/", sync=False) for name in ("hot", "cold"))

    async with again(routed({"archive": cold}, hot)) as copied:
        await copied.put("archive/a", b"cold")
        await copied.put("a", b"hot")
    async with cold, hot:
        assert (await cold.read("a"), await hot.read("a")) == (b"cold", b"hot")
    assert all(storage._checks.closed for storage in copied._owned)


async def test_replicated_storage(tmp_path: Path) -> None:
    """A replicated storage is pickled with its replicas."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = (open_storage(f"file://{tmp_path}/{name}/", sync=False) for name in ("one", "other"))

    async with again(replicated(one, other, missing_too=True)) as copied:
        async with other:
            await other.put("a", b"replica")
        assert await copied.read("a") == b"replica"
        await copied.put("a", b"primary")
    async with one:
        assert await one.read("a") == b"primary"


class Counting(ForwardingDriver):
    """A wrapper of the program's own."""

    def __init__(self, driver: Driver, step: int = 1) -> None:
        super().__init__(driver)
        self.step = step


async def test_own_wrappers(folder: str) -> None:
    """A wrapper of the program is pickled if its function can be."""
    async with open_storage(folder) as storage:
        copied = again(storage.wrapped(functools.partial(Counting, step=2)))
        with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
            pickle.dumps(storage.wrapped(lambda driver: Counting(driver)))
    assert isinstance(copied._driver, Counting)
    assert copied._driver.step == 2
    await copied.aclose()


@pytest.mark.parametrize("copied", [pickle.dumps, copy, deepcopy])
async def test_memory(copied: Callable[[Storage], object]) -> None:
    """Objects in memory are those of one storage, unless they have a name in this process."""
    async with open_storage("memory://bucket") as storage:
        with pytest.raises(ConfigurationError, match="in the memory of this storage alone: give shared='name'"):
            copied(storage)
        with pytest.raises(ConfigurationError, match="in the memory of this storage alone"):
            copied(under(storage, "sub"))


async def test_shared_memory() -> None:
    """Within the process, storages of one name have the same objects."""
    name = uuid.uuid4().hex
    async with open_storage("memory://bucket", shared=name) as storage, again(storage) as copied:
        await storage.put("a", b"data")
        assert await copied.read("a") == b"data"


@pytest.mark.parametrize("copied", [pickle.dumps, copy, deepcopy])
async def test_own_driver(storage: Storage, faults: FaultyDriver, copied: Callable[[Storage], object]) -> None:
    """What was not opened by open_storage() cannot be opened again."""
    with pytest.raises(ConfigurationError, match="this storage was made around a FaultyDriver"):
        copied(storage)


def _http(**options: Any) -> dict[str, Any]:
    return {"http": HTTPOptions(**options)}


_KEYS = {"access_key_id": "lab", "secret_access_key": SECRET}
_REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "key": ("s3://lab", _KEYS, "secret_access_key is a secret that was passed itself: pass from_environment"),
    "alias": (
        "s3://lab",
        {"aws_access_key_id": "lab", "aws_secret_access_key": SECRET},
        "aws_secret_access_key is",
    ),
    "auth": ("s3://lab", {"auth": AuthConfig(auth_type="static", settings=_KEYS)}, "secret_access_key is a"),
    "fallback": (
        "s3://lab",
        {"auth": AuthConfig(auth_type="environment", fallback=AuthConfig(auth_type="static", settings=_KEYS))},
        "secret_access_key is a",
    ),
    "source": (
        "s3://lab",
        {
            "auth": AuthConfig(
                auth_type="assume_role",
                settings={"role_arn": "arn:aws:iam::1:role/r", "source": AuthConfig(settings=_KEYS)},
            )
        },
        "secret_access_key is a",
    ),
    "driver": ("s3://lab", {"sse_customer_key": SECRET.ljust(32).encode()}, "sse_customer_key is a secret"),
    "function": ("gs://lab", {"token": lambda: SECRET}, "token is a secret that was passed itself"),
    "account": ("azure://lab@account", {"account_key": "aHVzaC1odXNo"}, "account_key is a secret"),
    "headers": ("s3://lab", {"headers": {"X-Api-Key": SECRET}}, r"headers may have secrets \(X-Api-Key\)"),
    "proxy": ("s3://lab", {"proxy": f"http://me:{SECRET}@proxy:1"}, "proxy has a password: put it into a profile"),
    "context": ("s3://lab", _http(ssl_context=ssl.create_default_context()), "ssl_context is of the type SSLContext"),
    "record": (
        "s3://lab",
        {"http": HTTPOptions(headers={"Authorization": SECRET})},
        r"headers may have secrets \(Authorization\)",
    ),
}


@pytest.mark.parametrize("name", _REFUSED)
async def test_secrets_are_refused(name: str) -> None:
    """A secret that was passed itself does not get into a pickle, nor into the error; a copy may have it."""
    uri, settings, message = _REFUSED[name]

    async with open_storage(uri, **settings) as storage:
        for wrapper in (storage, under(storage, "sub")):
            with pytest.raises(ConfigurationError, match=message) as caught:
                pickle.dumps(wrapper)
            assert SECRET not in repr(caught.value)
        async with copy(storage) as copied:
            assert copied._config == storage._config


async def test_session() -> None:
    """A session of the program's own is of this process; the error says what to do."""
    async with aiohttp.ClientSession() as session, open_storage("s3://lab", session=session) as storage:
        with pytest.raises(ConfigurationError, match=r"session is of the type ClientSession.*each process opens its"):
            pickle.dumps(storage)


async def test_undeclared_settings() -> None:
    """What a driver of another package does not declare may be a secret."""
    config = StorageConfig.build("s3://lab", {})
    async with open_storage(config) as storage:
        object.__setattr__(config, "settings", {"undeclared": "x"})
        with pytest.raises(ConfigurationError, match="undeclared may be a secret, since its driver does not declare"):
            pickle.dumps(storage)


def test_profile(tmp_path: Path) -> None:
    """What a profile says is not pickled: it is read again."""
    profiles = tmp_path / "config.toml"
    text = '[profiles.lab]\naccess_key_id = "lab"\nsecret_access_key = "{}"\nregion = "{}"\n'
    profiles.write_text(text.format(SECRET, "one"))
    storage = open_storage("s3://lab", profile="lab", profile_path=profiles, attempts=2)
    pickled = pickle.dumps(storage)
    assert SECRET.encode() not in pickled

    profiles.write_text(text.format("other", "two"))
    copied = pickle.loads(pickled)
    assert copied._config.region == "two"
    assert copied._config.retry.attempts == 2
    assert copied._config.settings["secret_access_key"] == "other"


async def test_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to a variable is pickled, and read where the storage is opened."""
    keys = {"access_key_id": from_environment("LAB_KEY"), "secret_access_key": from_environment("LAB_SECRET")}
    monkeypatch.setenv("LAB_KEY", "lab")
    with pytest.raises(ConfigurationError, match="secret_access_key is read from the environment variable LAB_SECRET"):
        open_storage("s3://lab", **keys)

    monkeypatch.setenv("LAB_SECRET", SECRET)
    for settings in (keys, {"auth": AuthConfig(auth_type="static", settings=keys)}):
        async with open_storage("s3://lab", **settings) as storage:
            pickled = pickle.dumps(storage)
            assert SECRET.encode() not in pickled
        async with pickle.loads(pickled) as copied:
            assert copied.credentials is not None
            lease = await copied.credentials.get()
            assert lease.value.secret_access_key == SECRET


@pytest.mark.parametrize(("name", "error"), [("", ConfigurationError), ("a=b", ConfigurationError), (1, TypeError)])
def test_names_of_variables(name: Any, error: type[Exception]) -> None:
    """A name that no variable can have is refused."""
    with pytest.raises(error, match="name"):
        from_environment(name)


_WORKER = """
import asyncio, pickle, sys

async def main():
    async with pickle.load(sys.stdin.buffer) as storage:
        sys.stdout.buffer.write(await storage.read("a"))

asyncio.run(main())
"""


async def test_other_process(seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has the environment only, reads through the pickled storage."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed.endpoint_url)
    monkeypatch.setenv("LAB_SECRET", seaweed.secret_access_key)
    keys = {"access_key_id": seaweed.access_key_id, "secret_access_key": from_environment("LAB_SECRET")}
    bucket = f"pickled-{uuid.uuid4().hex[:8]}"
    with blocking_client(seaweed) as client:
        client.create_bucket(Bucket=bucket)
    async with open_storage(f"s3://{bucket}", region=seaweed.region, **keys) as storage:
        inner = under(storage, "sub")
        await inner.put("a", b"data")
        done = await anyio.run_process([sys.executable, "-c", _WORKER], input=pickle.dumps(inner))
    assert done.stdout == b"data"

"""
zarr's own suite, on a server of each kind, and what it does not ask.
"""

from __future__ import annotations

import itertools
import pickle
from typing import Any, ClassVar

import numpy as np
import pytest
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, cpu, default_buffer_prototype
from zarr.testing.store import StoreTests

from asyncstore import UnauthenticatedError, open_storage
from asyncstore.integrations.zarr import AsyncstoreStore
from tests.conformance.s3 import settings
from tests.servers import gcs as gcs_server
from tests.servers.azure import AzureServer, fresh_container
from tests.servers.gcs import GCSEndpoint
from tests.servers.s3 import S3Server, fresh_bucket

_numbers = itertools.count(1)

Root = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def on_memory() -> Root:
    return "memory://bucket", {"shared": "zarr"}


@pytest.fixture(scope="module")
def on_seaweed(seaweed: S3Server) -> Root:
    return f"s3://{fresh_bucket(seaweed)}", settings(seaweed)


@pytest.fixture(scope="module")
def on_gcs(gcs_endpoint: GCSEndpoint) -> Root:
    return f"gs://{gcs_server.fresh_bucket(gcs_endpoint)}", {"endpoint_url": gcs_endpoint.url, "anonymous": True}


@pytest.fixture(scope="module")
def on_azurite(azurite: AzureServer) -> Root:
    return f"azure://{fresh_container(azurite)}", azurite.settings


class Suite(StoreTests[AsyncstoreStore, cpu.Buffer]):
    """
    All of it, each test below a prefix of its own.

    Attributes:
        on: The fixture with the URI of a bucket, and the settings.
    """

    store_cls = AsyncstoreStore
    buffer_cls = cpu.Buffer
    on: ClassVar[str]

    @pytest.fixture
    def store_kwargs(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        uri, known = request.getfixturevalue(self.on)
        return {"uri": f"{uri}/{next(_numbers)}", **known}

    async def set(self, store: AsyncstoreStore, key: str, value: Buffer) -> None:
        async with open_storage(store._uri, **store._settings) as storage:
            await storage.put(key, value.to_bytes())

    async def get(self, store: AsyncstoreStore, key: str) -> Buffer:
        async with open_storage(store._uri, **store._settings) as storage:
            return self.buffer_cls.from_bytes(await storage.read(key))

    def test_store_repr(self, store: AsyncstoreStore) -> None:
        assert repr(store) == f"AsyncstoreStore({str(store)!r})"

    def test_store_supports_writes(self, store: AsyncstoreStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: AsyncstoreStore) -> None:
        assert store.supports_listing


class TestMemory(Suite):
    on = "on_memory"


class TestSeaweed(Suite):
    on = "on_seaweed"


class TestGCS(Suite):
    on = "on_gcs"


class TestAzurite(Suite):
    on = "on_azurite"


async def test_only_a_missing_chunk_is_empty(seaweed: S3Server) -> None:
    """
    A request that is refused is an error, not a chunk of the default value.
    """
    uri, known = f"s3://{fresh_bucket(seaweed)}", settings(seaweed)
    store = AsyncstoreStore(uri, **known)
    refused = AsyncstoreStore(uri, **{**known, "secret_access_key": "wrong"})

    assert await store.get("c/0") is None
    with pytest.raises(UnauthenticatedError):
        await refused.get("c/0")
    store.close()
    refused.close()


async def test_ranges_of_one_object_share_requests() -> None:
    """
    Parts of a shard are read together; what is after the end is empty, and what is missing None.
    """
    store = AsyncstoreStore("memory://bucket", shared="zarr-ranges")
    await store.set("shard", cpu.Buffer.from_bytes(b"0123456789"))
    asked: list[tuple[str, ByteRequest | None]] = [
        ("shard", RangeByteRequest(1, 3)),
        ("none", RangeByteRequest(0, 1)),
        ("shard", SuffixByteRequest(2)),
        ("none", None),
        ("shard", None),
    ]

    got = await store.get_partial_values(default_buffer_prototype(), asked)

    assert [b"12", None, b"89", None, b"0123456789"] == [None if each is None else each.to_bytes() for each in got]
    far = await store.get_partial_values(
        default_buffer_prototype(), [("shard", OffsetByteRequest(99)), ("shard", RangeByteRequest(0, 2))]
    )
    assert [b"", b"01"] == [None if each is None else each.to_bytes() for each in far]
    store.close()


async def test_size_of_a_folder() -> None:
    """
    Only what is below it counts, and not what has a name that begins as its own.
    """
    store = AsyncstoreStore("memory://bucket", shared="zarr-sizes")
    for key in ("c/0", "c/1/0", "cc/0", "d"):
        await store.set(key, cpu.Buffer.from_bytes(b"12"))

    assert [4, 4, 8, 0] == [await store.getsize_prefix(prefix) for prefix in ("c", "c/", "", "e")]
    store.close()


@pytest.mark.parametrize("capable", [True, False])
async def test_set_if_not_exists(capable: bool) -> None:
    """
    The first value stays, also where the service has no such condition.
    """
    store = AsyncstoreStore("memory://bucket", shared=f"zarr-exclusive-{capable}", conditional_create=capable)
    for value in (b"first", b"second"):
        await store.set_if_not_exists("key", cpu.Buffer.from_bytes(value))

    found = await store.get("key")
    assert found is not None
    assert b"first" == found.to_bytes()
    store.close()


def test_arrays(seaweed: S3Server) -> None:
    """
    zarr writes and reads arrays, sharded ones by ranges, in its own event loop; a copy that was pickled reads them.
    """
    store = AsyncstoreStore(f"s3://{fresh_bucket(seaweed)}/a.zarr", **settings(seaweed))
    values = np.arange(10_000.0).reshape(100, 100)
    zarr.create_array(store, name="plain", data=values, chunks=(10, 100))
    zarr.create_array(store, name="sharded", data=values, chunks=(10, 10), shards=(50, 50))

    copy = zarr.open_group(pickle.loads(pickle.dumps(store)), mode="r")

    assert ["plain", "sharded"] == sorted(copy.array_keys())
    for _, array in copy.arrays():
        assert (values[33:57, 41:73] == np.asarray(array[33:57, 41:73])).all()


def test_secrets_are_not_shown() -> None:
    """
    Neither text has settings.
    """
    store = AsyncstoreStore("s3://bucket", secret_access_key="hidden-value")

    assert "hidden" not in f"{store!r} {store}"

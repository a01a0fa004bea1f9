"""
Packages that read and write through fsspec.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import zarr

from asyncstore.integrations.fsspec import S3FileSystem
from tests.conformance.s3 import settings
from tests.servers.s3 import S3Server, fresh_bucket

_numbers = itertools.count(1)


@pytest.fixture
def fs(seaweed: S3Server) -> S3FileSystem:
    return S3FileSystem(**settings(seaweed))


@pytest.fixture
def folder(seaweed: S3Server) -> str:
    return f"{fresh_bucket(seaweed)}/folder"


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"number": range(1000), "name": [f"name {number}" for number in range(1000)]})


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_pandas(form: str, folder: str, frame: pd.DataFrame, seaweed: S3Server) -> None:
    """
    Tables are written and read by URL.
    """
    url, options = f"asyncstore+s3://{folder}/table.{form}", settings(seaweed)
    keywords: dict[str, Any] = {} if form == "parquet" else {"index": False}
    getattr(frame, f"to_{form}")(url, storage_options=options, **keywords)

    pd.testing.assert_frame_equal(frame, getattr(pd, f"read_{form}")(url, storage_options=options))


def test_pyarrow(fs: S3FileSystem, folder: str, frame: pd.DataFrame) -> None:
    """
    A data set in directories is written, found and filtered.
    """
    table = pa.Table.from_pandas(frame.assign(third=frame.number % 3))
    pyarrow.parquet.write_to_dataset(table, folder, partition_cols=["third"], filesystem=fs)

    found = pyarrow.dataset.dataset(folder, filesystem=fs, partitioning="hive")

    assert 3 == len(found.files)
    assert (
        frame.number[frame.number % 3 == 1].sum()
        == found.to_table(filter=pyarrow.dataset.field("third") == 1).column("number").to_pandas().sum()
    )


def test_polars(fs: S3FileSystem, folder: str) -> None:
    """
    Tables are written to and read from files.
    """
    frame = pl.DataFrame({"number": range(1000)})
    with fs.open(f"{folder}/table.parquet", "wb") as file:
        frame.write_parquet(file)

    with fs.open(f"{folder}/table.parquet") as file:
        assert frame.equals(pl.read_parquet(file))


# What dask calls in pandas.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_dask(form: str, folder: str, frame: pd.DataFrame, seaweed: S3Server) -> None:
    """
    The partitions of a table are written and read by several threads.
    """
    dask_frame = pytest.importorskip("dask.dataframe")
    url, options = f"asyncstore+s3://{folder}/{form}", settings(seaweed)
    whole = dask_frame.from_pandas(frame, npartitions=3)
    if form == "csv":
        url += "/*.csv"
    getattr(whole, f"to_{form}")(url, storage_options=options)

    read = getattr(dask_frame, f"read_{form}")(url, storage_options=options)

    assert frame.number.sum() == read.number.sum().compute()


@pytest.fixture
def database(fs: S3FileSystem) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        yield connection


def test_duckdb(database: duckdb.DuckDBPyConnection, folder: str) -> None:
    """
    Queries read and write files.
    """
    url = f"asyncstore+s3://{folder}/table.parquet"
    database.execute(f"copy (select range as number from range(1000)) to '{url}' (format parquet)")

    assert [(499_500,)] == database.execute(f"select sum(number) from '{url}'").fetchall()


def test_zarr(folder: str, seaweed: S3Server) -> None:
    """
    zarr, which runs in an event loop of its own, writes and reads an array by URL.
    """
    url, options = f"asyncstore+s3://{folder}/array.zarr", settings(seaweed)
    zarr.create_array(url, data=np.arange(12.0).reshape(3, 4), storage_options=options)

    array = zarr.open_array(url, mode="r", storage_options=options)

    assert [8.0, 9.0, 10.0, 11.0] == list(np.asarray(array[2]))

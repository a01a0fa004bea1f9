"""
Results are small values that can be compared and pickled.
"""

import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from asyncstore.errors import NotFoundError
from asyncstore.types import BulkResult, ItemOutcome, Metadata, ObjectInfo, ProgressEvent
from asyncstore.uri import parse_uri

URI = parse_uri("s3://bucket/a/b")


def test_key_is_that_of_the_uri() -> None:
    """The key is the URI's, verbatim, without the bucket."""
    assert ObjectInfo(uri=URI, size=1).key == "a/b"


def test_metadata_has_all_fields_of_object_info() -> None:
    """Metadata can be used as ObjectInfo."""
    assert {item.name for item in fields(ObjectInfo)} < {item.name for item in fields(Metadata)}
    assert Metadata(uri=URI, size=1) == pickle.loads(pickle.dumps(Metadata(uri=URI, size=1)))
    assert Metadata(uri=URI, size=1).metadata is not Metadata(uri=URI, size=1).metadata


def test_failures_of_a_bulk_result() -> None:
    """Failures can be inspected, or raised together."""
    error = NotFoundError("gone")
    good = ItemOutcome(source=Path("a"), target=URI, status="done")
    bad = ItemOutcome(source=Path("b"), target=URI, status="failed", error=error)

    result = BulkResult(outcomes=[good, bad], done=1, failed=1)

    assert result.failures == [bad]
    with pytest.raises(ExceptionGroup, match="1 of 2 items failed") as caught:
        result.raise_for_failures()
    assert caught.value.exceptions == (error,)
    BulkResult(outcomes=[good], done=1).raise_for_failures()


def test_events_start_from_nothing() -> None:
    """Every count starts at zero."""
    event = ProgressEvent(kind="progress")

    assert (event.bytes_done, event.objects_done, event.rate, event.bytes_total) == (0, 0, 0.0, None)

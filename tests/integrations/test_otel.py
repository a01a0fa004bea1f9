"""
Spans and metrics by the conventions, one for each HTTP request, without secrets, and nothing where nobody listens.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from yarl import URL

from asyncstore import NotFoundError, RetryOptions, Storage, StorageError, UnavailableError, open_storage, under
from asyncstore.driver.noted import NOTED
from asyncstore.engine.observer import Attempt
from asyncstore.http.noting import shown
from asyncstore.integrations.otel import SCHEMA, instrument
from tests.conformance.s3 import settings
from tests.servers.s3 import S3Server, fresh_bucket
from tests.servers.scripted import Scripted, hang_up, reply, saying, scripted

QUICK = RetryOptions(initial_backoff=0)


class Collected:
    """
    What an application that uses OpenTelemetry collects.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    def instrument(self, storage: Storage) -> Storage:
        return instrument(storage, tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def outline(self) -> list[tuple[Any, ...]]:
        """Each span's name, status code of HTTP, and count of resending."""
        wanted = ("http.response.status_code", "http.request.resend_count")
        return [(span.name, *((span.attributes or {}).get(name) for name in wanted)) for span in self.spans]

    def metric(self, name: str) -> dict[tuple[Any, ...], tuple[int, float]]:
        """Return count and sum of a histogram by method, status and error."""
        data = self._reader.get_metrics_data()
        assert data is not None
        found = [metric for one in data.resource_metrics for scope in one.scope_metrics for metric in scope.metrics]
        points: Any = next(metric.data.data_points for metric in found if metric.name == name)
        names = ("http.request.method", "http.response.status_code", "error.type")
        return {tuple(point.attributes.get(key) for key in names): (point.count, point.sum) for point in points}


@pytest.fixture
def collected() -> Iterator[Collected]:
    found = Collected()
    yield found
    found.tracers.shutdown()
    found.meters.shutdown()


@contextmanager
def noting_nothing() -> Iterator[None]:
    yield
    assert NOTED.get() is None


def s3_on(server: Scripted, **settings: Any) -> Storage:
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "fake-secret"}
    return open_storage("s3://bucket", endpoint_url=server.url, region="us-east-1", retry=QUICK, **{**keys, **settings})


OBJECT = saying(reply(200, b"data", ETag='"e"', Last_Modified="Wed, 12 Mar 2025 17:50:00 GMT"))
SLOW_DOWN = saying(reply(503, b"<Error><Code>SlowDown</Code></Error>"))
MISSING = saying(reply(404))


async def test_span_of_a_request(collected: Collected) -> None:
    """
    Names and attributes are those of the conventions for HTTP clients and for S3.
    """
    async with scripted(OBJECT) as server, s3_on(server) as storage:
        with noting_nothing():
            await collected.instrument(storage).read("dir/a b.txt")
        url = URL(server.url)

    (span,) = collected.spans
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": url.port,
        "url.full": f"{server.url}/bucket/dir/a%20b.txt",
        "asyncstore.operation": "read",
        "aws.s3.bucket": "bucket",
        "aws.s3.key": "dir/a b.txt",
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 60e9
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.schema_url) == ("asyncstore", SCHEMA)


async def test_spans_are_children_of_the_current_one(collected: Collected) -> None:
    async with scripted(OBJECT) as server, s3_on(server) as storage:
        collected.instrument(storage)
        with collected.tracers.get_tracer("program").start_as_current_span("job") as job:
            await storage.read("key")

    assert [span.parent and span.parent.span_id for span in collected.spans] == [job.get_span_context().span_id, None]


async def test_each_resent_request_is_a_span(collected: Collected) -> None:
    """
    A retry counts on from the requests before it.
    """
    async with scripted(SLOW_DOWN, hang_up, OBJECT) as server, s3_on(server) as storage:
        assert await collected.instrument(storage).read("key") == b"data"

    assert collected.outline == [("GET", 503, None), ("GET", None, 1), ("GET", 200, 2)]
    errors = [(span.attributes or {}).get("error.type") for span in collected.spans]
    assert errors[0] == "503"
    assert str(errors[1]).startswith("aiohttp.")
    assert errors[2] is None
    assert [span.status.status_code for span in collected.spans] == [*[StatusCode.ERROR] * 2, StatusCode.UNSET]


async def test_recovery_is_a_span(collected: Collected) -> None:
    """
    A request that the driver sends again, here to another region, is resent, too.
    """
    moved = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"
    async with scripted(saying(reply(400, moved)), OBJECT) as server, s3_on(server) as storage:
        assert await collected.instrument(storage).read("key") == b"data"

    assert collected.outline == [("GET", 400, None), ("GET", 200, 1)]


async def test_missing_object(collected: Collected) -> None:
    """
    An error where it was to be read, and the answer where exists() asks.
    """
    async with scripted(MISSING) as server, s3_on(server) as storage:
        collected.instrument(storage)
        assert not await storage.exists("key")
        with pytest.raises(NotFoundError):
            await storage.stat("key")

    assert [span.status.status_code for span in collected.spans] == [StatusCode.UNSET, StatusCode.ERROR]
    assert [span.status.description for span in collected.spans] == [None, None]


async def test_server_that_cannot_be_reached(collected: Collected) -> None:
    async with scripted(OBJECT) as server:
        pass
    async with s3_on(server) as storage:
        with pytest.raises(UnavailableError):
            await collected.instrument(storage).read("key")

    assert len(collected.spans) == QUICK.attempts
    assert {(span.attributes or {})["error.type"] for span in collected.spans} == {
        "aiohttp.client_exceptions.ClientConnectorError"
    }


async def test_metrics(collected: Collected) -> None:
    """
    Durations and sizes, by method, status and error.
    """
    async with scripted(SLOW_DOWN, saying(reply(200, ETag='"e"')), OBJECT) as server, s3_on(server) as storage:
        collected.instrument(storage)
        await storage.put("key", bytes(1000))
        await storage.read("key")
        await storage.read("key")

    durations = collected.metric("http.client.request.duration")
    assert {key: count for key, (count, _) in durations.items()} == {
        ("PUT", 503, "503"): 1,
        ("PUT", 200, None): 1,
        ("GET", 200, None): 2,
    }
    assert all(0 < total < 60 for _, total in durations.values())
    assert collected.metric("http.client.request.body.size") == {
        ("PUT", 503, "503"): (1, 1000),
        ("PUT", 200, None): (1, 1000),
    }
    assert collected.metric("http.client.response.body.size")["GET", 200, None] == (2, 8)


async def test_wrappers_are_included_once(collected: Collected) -> None:
    async with scripted(OBJECT) as server, s3_on(server) as storage:
        view = under(collected.instrument(storage), "dir")
        await view.read("key")

    assert collected.outline == [("GET", 200, None)]


async def test_storages_without_http_report_nothing(collected: Collected) -> None:
    async with open_storage("memory://bucket") as storage:
        await collected.instrument(storage).put("key", b"data")

    assert not collected.spans


async def test_a_transfer_has_a_span_for_each_request(seaweed: S3Server, collected: Collected) -> None:
    """
    On a real server: a multipart upload, a listing and a deletion.
    """
    mib = 1024 * 1024
    bucket = fresh_bucket(seaweed)
    async with open_storage(f"s3://{bucket}", **settings(seaweed)) as storage:
        collected.instrument(storage)
        await storage.put("key", bytes(12 * mib), part_size=5 * mib, multipart_threshold=5 * mib)
        assert [info.name async for info in storage.list()] == ["key"]
        await storage.delete("key")
        sent = storage.statistics().requests

    assert sorted(span.name for span in collected.spans) == ["DELETE", "GET", "POST", "POST", "PUT", "PUT", "PUT"]
    assert len(collected.spans) == sent
    assert collected.metric("http.client.request.body.size")["PUT", 200, None] == (3, 12 * mib)


SECRETS = [
    "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=abcdef0123&X-Amz-Credential=AKIDEXAMPLE",
    "https://account.blob.core.windows.net/container/key?sv=2026&sig=abcdef0123",
    "https://objectstorage.us-ashburn-1.oraclecloud.com/p/abcdef0123abcdef0123/n/namespace/b/bucket/o/key",
    "https://user:abcdef0123@proxy.example/key",
]


@pytest.mark.parametrize("url", SECRETS)
def test_urls_have_no_secrets(url: str) -> None:
    """
    Neither signatures, nor the secret part of a path, nor a password.
    """
    assert "abcdef0123" not in shown(URL(url, encoded=True))
    assert "AKIDEXAMPLE" not in shown(URL(url, encoded=True))
    assert "key" in shown(URL(url, encoded=True))


async def test_nothing_told_has_the_credentials(collected: Collected) -> None:
    """
    Whatever is told of a request of a storage with a signature in its query.
    """
    async with scripted(saying(reply(404))) as server:
        url = "azure://container@account"
        async with open_storage(url, endpoint_url=server.url, sas_token="sv=2026&sig=abcdef0123") as storage:
            with pytest.raises(StorageError):
                await collected.instrument(storage).read("key")

    assert collected.spans
    assert "abcdef0123" not in "".join(span.to_json() for span in collected.spans)


async def test_without_observers_nothing_is_noted() -> None:
    """
    Where nobody listens, no record is made, and attempts of others are not noted with ours.
    """
    heard: list[Attempt] = []

    class Notes:
        def attempted(self, attempt: Attempt) -> None:
            heard.append(attempt)

        def refreshed(self, refresh: object) -> None: ...

        def narrowed(self, narrowing: object) -> None: ...

    async with scripted(OBJECT) as server, s3_on(server) as silent, s3_on(server) as heard_of:
        await silent.read("key")
        heard_of.observe(Notes())
        await heard_of.read("key")
        await silent.read("key")

    assert [len(attempt.requests) for attempt in heard] == [1]
    assert NOTED.get() is None


def test_opentelemetry_is_imported_only_when_it_is_asked_for() -> None:
    """
    Not by the package, not by a storage, and not by an observer of one's own.
    """
    program = """
import asyncio, sys
from asyncstore import open_storage

class Notes:
    def attempted(self, attempt): pass
    def refreshed(self, refresh): pass
    def narrowed(self, narrowing): pass

async def main():
    for uri in ("memory://bucket", "s3://bucket"):
        async with open_storage(uri) as storage:
            storage.observe(Notes())
            if uri.startswith("memory"):
                await storage.put("key", b"data")

asyncio.run(main())
print(sum(name.partition(".")[0] == "opentelemetry" for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)

    assert done.stdout == "0\n"

"""
Spans and metrics of OpenTelemetry. Needs ``asyncstore[otel]``.

Each HTTP request is a span, as the conventions for HTTP clients say, a resent one included:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span and
https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#http-client

Requests to S3 have the attributes of
https://opentelemetry.io/docs/specs/semconv/object-stores/s3/ as well. No conventions exist for other object stores.
"""

from __future__ import annotations

from typing import Any, Final

try:
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[otel]'") from None

from asyncstore.auth.credentials import Refresh
from asyncstore.driver import Narrowing
from asyncstore.driver.noted import NotedRequest
from asyncstore.engine.observer import Attempt
from asyncstore.storage import Storage
from asyncstore.uri import Provider

_NAME: Final = "asyncstore"
#: The version of the conventions whose names are used.
SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"

# https://opentelemetry.io/docs/specs/semconv/http/http-spans/: any other method is "_OTHER".
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def instrument(
    storage: Storage, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> Storage:
    """
    Report the HTTP requests of *storage*, and of those that wrap it, to OpenTelemetry; return *storage*.

    Spans are children of the span that is current in the operation. They begin when the request is sent and end
    when the head of its reply has arrived; queries of URLs, which can have signatures, are left out. No header is added
    to requests. Storages of memory and local files send none, and those that obtain credentials are not reported.
    Do it once for each storage: its wrappers are included.

    Args:
        tracer_provider: By default the global one; so is *meter_provider*.

    """
    storage.observe(Telemetry(storage.provider, tracer_provider, meter_provider))
    return storage


class Telemetry:
    """
    An observer that makes a span and measurements of each HTTP request.
    """

    def __init__(
        self, provider: str, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        from asyncstore import __version__

        self._provider = provider
        self._tracer = get_tracer(_NAME, __version__, tracer_provider, schema_url=SCHEMA)
        meter = get_meter(_NAME, __version__, meter_provider, schema_url=SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sent = meter.create_histogram(
            "http.client.request.body.size", "By", "Size of HTTP client request bodies."
        )
        self._received = meter.create_histogram(
            "http.client.response.body.size", "By", "Size of HTTP client response bodies."
        )

    def attempted(self, attempt: Attempt) -> None:
        """
        Report the requests of an attempt.
        """
        seen: dict[tuple[str, str], int] = {}
        for request in attempt.requests:
            place = request.method, request.url
            # A retry is sent again by the engine, and after a refresh of credentials, say, by the driver.
            resent = seen.get(place, attempt.number - 1)
            seen[place] = resent + 1
            self._report(attempt, request, resent)

    def refreshed(self, refresh: Refresh) -> None:
        """
        The conventions have no names for it; it is in the debug log.
        """

    def narrowed(self, narrowing: Narrowing) -> None:
        """
        The conventions have no names for it; it is in the debug log.
        """

    def _report(self, attempt: Attempt, request: NotedRequest, resent: int) -> None:
        common = _common(request)
        self._duration.record(request.seconds, common)
        if request.sent:
            self._sent.record(request.sent, common)
        if request.received is not None:
            self._received.record(request.received, common)
        method = common["http.request.method"]
        span = self._tracer.start_span(
            "HTTP" if method == "_OTHER" else method,
            kind=SpanKind.CLIENT,
            attributes=common | self._details(attempt, request, resent),
            start_time=request.started,
        )
        # A missing object is what exists() asks about.
        if "error.type" in common and not (attempt.op == "exists" and request.status == 404):
            span.set_status(Status(StatusCode.ERROR))
        span.end(request.started + int(request.seconds * 1e9))

    def _details(self, attempt: Attempt, request: NotedRequest, resent: int) -> dict[str, Any]:
        details: dict[str, Any] = {"url.full": request.url, "asyncstore.operation": attempt.op}
        if request.method not in _METHODS:
            details["http.request.method_original"] = request.method
        if resent:
            details["http.request.resend_count"] = resent
        if self._provider == Provider.S3:
            details["aws.s3.bucket"] = attempt.uri.bucket
            if attempt.uri.key:
                details["aws.s3.key"] = attempt.uri.key
        return details


def _common(request: NotedRequest) -> dict[str, Any]:
    """
    Return what spans and metrics have: a few values each.
    """
    common: dict[str, Any] = {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "server.address": request.host,
        "server.port": request.port,
    }
    if request.status is not None:
        common["http.response.status_code"] = request.status
        if request.status >= 400:
            common["error.type"] = str(request.status)
    elif request.error is not None:
        kind = type(request.error)
        common["error.type"] = f"{kind.__module__}.{kind.__qualname__}"
    return common

"""
Error mapping, and rate limits: throttling that says when to retry, not a denied permission.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate

import pytest

from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import GitHubServer
from tests.drivers.github.fixtures import asset, driver_of, opened, release

SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer() as server:
        await asset(server, await release(server, "v1"), "a.txt", b"data")
        server.requests.clear()
        yield server


def saying(status: int, message: str, headers: Mapping[str, str] | None = None, **more: object) -> Fault:
    return Fault(status=status, body=json.dumps({"message": message, **more}).encode(), headers=headers or {})


async def failure_of(server: GitHubServer, fault: Fault) -> StorageError:
    server.inject(fault)
    async with opened(server) as storage:
        with pytest.raises(StorageError) as failure:
            await storage.stat(storage.root / "a.txt")
    return failure.value


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "Problems parsing JSON", InvalidRequestError),
        (401, "Bad credentials", UnauthenticatedError),
        (403, "Resource not accessible by personal access token", PermissionDeniedError),
        (404, "Not Found", NotFoundError),
        (422, "Validation Failed", InvalidRequestError),
        (451, "Repository access blocked", PermissionDeniedError),
        (500, "Server Error", UnavailableError),
        (502, "Server Error", UnavailableError),
        (503, "Service unavailable", UnavailableError),
    ],
)
async def test_errors(server: GitHubServer, status: int, message: str, kind: type[StorageError]) -> None:
    """Each status has its error class, with GitHub's message and request id."""
    error = await failure_of(server, saying(status, message, {"X-GitHub-Request-Id": "R1"}))

    assert type(error) is kind
    assert (error.message, error.status, error.request_id, error.provider) == (message, status, "R1", "github")


async def test_details(server: GitHubServer) -> None:
    """Field errors are part of the message, and the first code is the error's."""
    details = [{"resource": "Release", "field": "tag_name", "code": "missing"}, {"message": "more", "code": "custom"}]

    error = await failure_of(server, saying(422, "Validation Failed", errors=details))

    assert (error.message, error.code) == ("Validation Failed: Release tag_name missing: more", "missing")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message": 7, "errors": 8}', b'{"errors": ["text"]}'])
async def test_error_body_not_from_github(server: GitHubServer, body: bytes) -> None:
    """An error page from a proxy is mapped by its status."""
    error = await failure_of(server, Fault(status=404, body=body))

    assert type(error) is NotFoundError


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": "x", "tag_name": 1}'])
async def test_success_body_not_from_github(server: GitHubServer, body: bytes) -> None:
    """A success whose body is not a release is an error that can be retried."""
    error = await failure_of(server, Fault(status=200, body=body))

    assert type(error) is UnavailableError


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/repositories/1/releases/tags/v1",
        "https://127.0.0.1/repositories/1/releases/tags/v1",
        "/login?return_to=/repositories/1/releases/tags/v1",
        "/repositories/1/releases/tags/v2",
        "http://[",
        "",
    ],
)
async def test_redirect_that_is_not_followed(server: GitHubServer, location: str) -> None:
    """A redirect to another server, or to something else, is an error: the token stays with the API host."""
    error = await failure_of(server, Fault(status=301, headers={"Location": location}))

    assert type(error) is NotFoundError
    assert "was renamed" in error.message
    assert len(server.requests) == 1


def primary(status: int, seconds: float, skew: float = 0.0) -> Fault:
    now = time.time() + skew
    headers = {
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(now + seconds)),
        "Date": formatdate(now, usegmt=True),
    }
    return saying(status, "API rate limit exceeded for user ID 1.", headers)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("skew", [0.0, -86_400.0])
async def test_primary_limit(server: GitHubServer, status: int, skew: float) -> None:
    """A used-up primary limit is throttling until the reset, by GitHub's clock."""
    error = await failure_of(server, primary(status, 90, skew))

    assert type(error) is ThrottledError
    assert error.retryable
    assert error.retry_after == pytest.approx(90, abs=1.5)


@pytest.mark.parametrize(
    ("headers", "wait"), [({"Retry-After": "7"}, 7.0), ({}, 60.0), ({"x-ratelimit-remaining": "12"}, 60.0)]
)
@pytest.mark.parametrize("status", [403, 429])
async def test_secondary_limit(server: GitHubServer, status: int, headers: dict[str, str], wait: float) -> None:
    """A secondary limit is throttling for as long as GitHub says, or for one minute."""
    error = await failure_of(server, saying(status, SECONDARY, headers))

    assert type(error) is ThrottledError
    assert error.retry_after == wait


@pytest.mark.parametrize("fault", [primary(403, 90), saying(403, SECONDARY), saying(429, "", {"Retry-After": "60"})])
async def test_nothing_is_sent_while_limited(server: GitHubServer, fault: Fault) -> None:
    """ "Continuing to make requests while you are rate limited may result in the banning of your integration." """
    server.inject(fault)
    async with opened(server) as storage:
        for _ in range(3):
            with pytest.raises(ThrottledError) as failure:
                await storage.read(storage.root / "a.txt")
        assert failure.value.retry_after is not None
        assert 55 < failure.value.retry_after < 95
        assert "exceeded" in storage.describe()["rate limit"]
        assert len(server.requests) == 1

        driver_of(storage)._wire._held_until = 0.0
        assert await storage.read(storage.root / "a.txt") == b"data"


async def test_last_request_of_the_hour(server: GitHubServer) -> None:
    """The reply with no requests remaining is a success; the next request is throttled."""
    server.limits.authenticated = 4
    async with opened(server) as storage:
        assert await storage.exists(storage.root / "a.txt")
        assert await storage.exists(storage.root / "a.txt")
        with pytest.raises(ThrottledError):
            await storage.exists(storage.root / "a.txt")

    assert len(server.requests) == 2


async def test_retries_wait_for_the_limit() -> None:
    """With retries, a rate limit delays requests and does not fail them."""
    async with GitHubServer() as server:
        server.limits.seconds = 1.0
        server.limits.authenticated = 3
        async with opened(server, attempts=10) as storage:
            for number in range(2):
                await storage.put(storage.root / f"{number}.txt", b"data")
            assert await storage.read(storage.root / "1.txt") == b"data"

    assert len(server.requests) >= 3 + 2 + 2
    assert server.limits.refused == 0


async def test_errors_show_no_secret(server: GitHubServer) -> None:
    """Errors, descriptions and reprs contain neither the token nor a signed link."""
    error = await failure_of(server, saying(401, "Bad credentials"))
    async with opened(server) as storage:
        await storage.read(storage.root / "a.txt")
        links = driver_of(storage)._links._links
        shown = [repr(links), repr(driver_of(storage)._wire.credentials), str(storage.describe()), repr(error)]

    assert links
    assert not any("fake-github-token" in text or "sig=" in text for text in shown)

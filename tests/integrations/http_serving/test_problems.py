"""
Errors as problem details: statuses, and nothing internal.
"""

from __future__ import annotations

import logging

import pytest

from asyncstore import errors
from asyncstore.errors import StorageError
from asyncstore.integrations.http_serving.problems import (
    BodyTooLargeError,
    ClientDisconnectedError,
    RequestBodyError,
    UnsupportedBodyError,
    problem_of,
)

STATUSES: dict[type[StorageError], int] = {
    StorageError: 500,
    errors.InvalidURIError: 400,
    errors.ConfigurationError: 500,
    errors.NotSupportedError: 501,
    errors.NotFoundError: 404,
    errors.PreconditionFailedError: 412,
    errors.AlreadyExistsError: 409,
    errors.NotModifiedError: 304,
    errors.RangeNotSatisfiableError: 416,
    errors.UnauthenticatedError: 502,
    errors.PermissionDeniedError: 502,
    errors.QuotaExceededError: 507,
    errors.InUseError: 409,
    errors.InvalidRequestError: 502,
    errors.IntegrityError: 502,
    errors.SourceChangedError: 503,
    errors.DeadlineExceededError: 504,
    errors.UnavailableError: 503,
    errors.ThrottledError: 503,
    RequestBodyError: 400,
    BodyTooLargeError: 413,
    UnsupportedBodyError: 415,
    ClientDisconnectedError: 400,
}


def test_every_error_has_a_status() -> None:
    """
    A new class of error is given one.
    """
    public = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StorageError)}

    assert public <= set(STATUSES)


@pytest.mark.parametrize("kind", STATUSES)
def test_status(kind: type[StorageError], caplog: pytest.LogCaptureFixture) -> None:
    """
    The client reads a sentence of ours; what is the server's failure is logged with its facts.
    """
    error = kind(uri="s3://internal-bucket/key", code="AccessDenied", request_id="7f3a", provider="s3", status=403)

    with caplog.at_level(logging.ERROR, "asyncstore.integrations.http_serving"):
        problem = problem_of(error)

    assert problem.status == STATUSES[kind]
    assert problem.detail.endswith(".")
    for secret in (b"internal-bucket", b"AccessDenied", b"7f3a", b"s3"):
        assert secret not in problem.body()
    assert ("internal-bucket" in caplog.text) == (problem.status >= 500)
    assert problem.headers.get("Content-Type") == (None if problem.status == 304 else "application/problem+json")


def test_message_of_the_provider_is_left_out() -> None:
    error = errors.InvalidRequestError("user arn:aws:iam::123:user/x at http://10.0.0.1 may not")

    assert b"arn:" not in problem_of(error).body()


def test_create_only_write() -> None:
    """
    412 if the client has asked for it, 409 if the application has.
    """
    error = errors.AlreadyExistsError()

    assert problem_of(error).status == 409
    assert problem_of(error, {"if-none-match": "*"}).status == 412


def test_wait_is_passed_on() -> None:
    """
    In whole seconds, rounded up: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    assert problem_of(errors.ThrottledError(retry_after=0.2)).headers["Retry-After"] == "1"
    assert "Retry-After" not in problem_of(errors.ThrottledError()).headers

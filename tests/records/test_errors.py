"""
Errors travel between processes whole and tell what a person needs.
"""

import pickle
from typing import Any

import pytest

from asyncstore import errors
from asyncstore.errors import IntegrityError, StorageError

KINDS = [getattr(errors, name) for name in errors.__all__]
FACTS: dict[str, Any] = {
    "op": "put",
    "uri": "s3://b/k",
    "provider": "s3",
    "code": "SlowDown",
    "request_id": "abc",
    "status": 503,
    "retry_after": 1.5,
}


@pytest.mark.parametrize("kind", KINDS)
def test_pickled_errors_are_the_same(kind: type[StorageError]) -> None:
    """Class, message, every fact and the notes survive."""
    error = kind("what happened", retryable=True, **FACTS)
    error.add_note("a note")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert (str(copy), copy.args, copy.__notes__) == (str(error), ("what happened",), ["a note"])


@pytest.mark.parametrize("kind", KINDS)
def test_text_has_the_facts(kind: type[StorageError]) -> None:
    """What was done to which object, what came of it, and what the provider called it."""
    assert str(kind("what happened", **FACTS)) == "put s3://b/k: what happened (503, SlowDown, request id abc)"
    assert str(kind()) == kind.__name__


def test_integrity_error_has_both_values() -> None:
    """Pickled as well."""
    error = pickle.loads(pickle.dumps(IntegrityError("differs", expected="a", actual="b", op="put")))

    assert (error.expected, error.actual) == ("a", "b")
    assert str(error) == "put: differs: expected a, got b"


def test_only_passing_faults_are_retryable() -> None:
    """The positive list, and a driver's exception to it."""
    retryable = {kind.__name__ for kind in KINDS if kind().retryable}

    assert retryable == {"UnavailableError", "ThrottledError"}
    assert StorageError(retryable=True).retryable
    assert not errors.UnavailableError(retryable=False).retryable


def test_classes_a_caller_can_rely_on() -> None:
    """A failed creation is a failed condition; a bad URI or setting is a ValueError."""
    assert issubclass(errors.AlreadyExistsError, errors.PreconditionFailedError)
    assert issubclass(errors.ThrottledError, errors.UnavailableError)
    assert issubclass(errors.InvalidURIError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)

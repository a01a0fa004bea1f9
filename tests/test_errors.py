"""
Errors can be pickled without loss, and their text has all details.
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
    """Pickling keeps the class, the message, every detail and the notes."""
    error = kind("what happened", retryable=True, **FACTS)
    error.add_note("a note")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert (str(copy), copy.args, copy.__notes__) == (str(error), ("what happened",), ["a note"])


@pytest.mark.parametrize("kind", KINDS)
def test_text_has_the_facts(kind: type[StorageError]) -> None:
    """The text has the object, what happened to it, and the provider's details."""
    facts = "(503 SlowDown, request id abc, during put)"

    assert str(kind("what happened.", **FACTS)) == f"s3://b/k: what happened {facts}"
    assert str(kind("what happened", status=404)) == "what happened (404)"


@pytest.mark.parametrize("kind", KINDS)
def test_text_without_a_message(kind: type[StorageError]) -> None:
    """Without a message, the text has the default message of the class."""
    text = kind.default_message

    assert (
        str(kind(uri="s3://b/k", status=404))
        == (f"s3://b/k {text}" if text else f"s3://b/k: {kind.__name__}") + " (404)"
    )
    assert str(kind()) == (f"the object {text}" if text else kind.__name__)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("No such bucket.", "No such bucket"),
        ("it has the segment . or ..", "it has the segment . or .."),
        ("it drops the segment .", "it drops the segment ."),
        ("and so on...", "and so on..."),
        (".", "StorageError"),
    ],
)
def test_only_a_full_stop_is_left_out(message: str, text: str) -> None:
    """
    The text goes on after the message, so that the dot that ends a sentence is left out, and no other.
    """
    assert str(StorageError(message)) == text
    assert str(StorageError(message, status=400)) == f"{text} (400)"


def test_a_missing_object() -> None:
    """The default message of a missing object."""
    error = errors.NotFoundError(uri="s3://b/k", status=404)

    assert (error.message, str(error)) == ("does not exist", "s3://b/k does not exist (404)")


def test_integrity_error_has_both_values() -> None:
    """Both values are kept by pickling."""
    error = pickle.loads(pickle.dumps(IntegrityError("differs", expected="a", actual="b", op="put")))

    assert (error.expected, error.actual) == ("a", "b")
    assert str(error) == "differs: expected a, got b (during put)"


def test_only_transient_faults_are_retryable() -> None:
    """Only some classes are retryable by default; a driver can override it."""
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

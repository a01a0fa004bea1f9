"""
A server for each test, with the official SDK as its client.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.servers.oci import RunningOCI, running_oci


@dataclass(frozen=True, slots=True)
class Place:
    """
    An empty bucket, and shortcuts for the client's calls that begin with namespace and bucket.
    """

    server: RunningOCI
    client: Any
    bucket: str

    @property
    def namespace(self) -> str:
        return self.server.namespace

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call the client's method *name* on the bucket."""
        return getattr(self.client, name)(self.namespace, self.bucket, *arguments, **options)

    def read(self, name: str, **options: Any) -> bytes:
        """Return the bytes of an object."""
        content: bytes = self.call("get_object", name, **options).data.content
        return content

    def refused(self, name: str, *arguments: Any, **options: Any) -> tuple[int, str]:
        """Return status and code of a call that fails."""
        return refused(getattr(self.client, name), self.namespace, self.bucket, *arguments, **options)


def refused(method: Any, *arguments: Any, **options: Any) -> tuple[int, str]:
    """Return status and code of the error that *method* raises."""
    from oci.exceptions import ServiceError

    with pytest.raises(ServiceError) as caught:
        method(*arguments, **options)
    return caught.value.status, caught.value.code


@pytest.fixture
def oci_server() -> Iterator[RunningOCI]:
    with running_oci() as server:
        yield server


@pytest.fixture
def place(oci_server: RunningOCI) -> Iterator[Place]:
    with oci_server.client() as client:
        yield Place(oci_server, client, oci_server.fresh_bucket())

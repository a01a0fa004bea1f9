"""
What every driver must do, as tests: for ours and for yours.

A driver's own test file is this, and nothing more::

    import pytest_asyncio
    from asyncstore.testing.conformance import StorageConformance

    class TestMine(StorageConformance):
        @pytest_asyncio.fixture
        async def storage(self, my_server):
            async with open_storage(f"mine://{fresh_bucket(my_server)}") as storage:
                yield storage

The place must be empty: a bucket of its own, or a prefix that ends in ``/``. What the
storage's capabilities do not announce is an expected failure; what they announce is held to. A test
*server* that differs from the provider is excused by name, with the reason::

        quirks = {"list-order": "this server lists by directory"}

Names of tests, tags, and parameters of awkward keys (``"[trailing-slash]"``) can be
given. Which keys a provider's own rules allow is said by the method ``holds``; see
:class:`~asyncstore.testing.conformance.harness.Harness` for what else can be set.
It needs pytest and pytest-asyncio, in either of its modes.
"""

import pytest

_GROUPS = (
    "aborting access attributes bulk cancelling capabilities concurrency conditions copying deleting files harness "
    "integrity interrupting keys listing multipart objects paging payloads ranges resuming tags versions"
)
pytest.register_assert_rewrite(*(f"{__name__}.{group}" for group in _GROUPS.split()))

from asyncstore.testing.conformance.suite import StorageConformance as StorageConformance  # noqa: E402 - after that

__all__ = ["StorageConformance"]

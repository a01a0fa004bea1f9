"""
The contract of a storage driver, as tests, for the built-in drivers and for third-party ones.

A driver's own test file needs only this::

    import pytest_asyncio
    from asyncstore.testing.conformance import StorageConformance

    class TestMine(StorageConformance):
        @pytest_asyncio.fixture
        async def storage(self, my_server):
            async with open_storage(f"mine://{fresh_bucket(my_server)}") as storage:
                yield storage

The storage must start empty: in a bucket of its own, or under a prefix that ends in ``/``.
Tests of capabilities that the driver does not announce are expected failures; everything
that it announces is tested. Where a test *server* differs from the provider, list the tests
that fail, with the reason::

        quirks = {"list-order": "this server lists by directory"}

``quirks`` takes names of tests, tags, and parameters (``"[trailing-slash]"``). Override
``holds`` if the provider does not allow all keys;
:class:`~asyncstore.testing.conformance.harness.Harness` has the other settings.
The suite needs pytest and pytest-asyncio, in either of its modes.
"""

from pkgutil import iter_modules

try:
    import pytest
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[testing]'") from None

# Before the modules are imported, so that a failed assert shows its values.
pytest.register_assert_rewrite(*(module.name for module in iter_modules(__path__, f"{__name__}.")))

from asyncstore.testing.conformance.suite import StorageConformance as StorageConformance  # noqa: E402 - see above

__all__ = ["StorageConformance"]

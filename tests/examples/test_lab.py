"""
The driver that docs/how-to/add-a-driver.md builds passes the conformance suite.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from asyncstore.config import StorageConfig
from asyncstore.errors import UnauthenticatedError, UnavailableError
from asyncstore.storage import Storage
from asyncstore.testing.conformance import StorageConformance

_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-driver.md"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """
    The first program of the page, without the line that runs it.
    """
    program = _PAGE.read_text("utf-8").split("```python\n")[1].split("```")[0]
    path = tmp_path_factory.mktemp("lab") / "lab_storage.py"
    path.write_text(program.replace("asyncio.run(main())\n", ""), "utf-8")
    spec = spec_from_file_location("lab_storage", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["lab_storage"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["lab_storage"]


@pytest.fixture
async def lab_storage(lab: ModuleType) -> AsyncIterator[Storage]:
    """
    A storage on a lab of its own.
    """
    runner = await lab.serve({})
    try:
        host, port = runner.addresses[0]
        settings = {"endpoint_url": f"http://{host}:{port}", "token": "fake-token"}
        config = StorageConfig.build("lab://bucket/models/", settings)
        async with Storage(lab.open_driver(config), config) as storage:
            yield storage
    finally:
        await runner.cleanup()


class TestLab(StorageConformance):
    """The shared contract, on the lab's storage."""

    @pytest.fixture
    async def storage(self, lab_storage: Storage) -> Storage:
        return lab_storage


async def test_it_is_described(lab_storage: Storage) -> None:
    """A driver without credentials of its own can be described."""
    assert lab_storage.credentials is None
    assert "clock offset" in lab_storage.describe()


def test_errors_mask_secrets_and_are_short(lab: ModuleType) -> None:
    """A code from a hostile or broken server is redacted and cut, like a message."""
    error = lab.ERRORS.error("Authorization: Bearer fake-secret " + "x" * 1000, "y" * 1000, status=401)

    assert isinstance(error, UnauthenticatedError)
    assert "fake-secret" not in str(error)
    assert len(str(error)) < 700


async def test_missing_header(lab: ModuleType, lab_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success without the ETag that the lab always sends is an error."""
    monkeypatch.setattr(lab, "_etag", lambda reply: lab.required_header(reply, "X-No-Such-Header"))

    with pytest.raises(UnavailableError, match="the reply has no X-No-Such-Header"):
        await lab_storage.put(lab_storage.root / "key", b"bytes")

"""
Transfers that last several times as long as their credentials.

``ASYNCSTORE_TEST_TRANSFER_BYTES=2147483648`` transfers 2 GiB both ways at full speed, instead of a few MiB at a
limited rate.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import pytest

from asyncstore.config import StorageConfig
from asyncstore.options import DownloadOptions, UploadOptions
from asyncstore.storage.opening import open_storage
from tests.auth.short_lives import LIFETIME, PLACES, Around, MiB, Open

_BYTES: Final = int(os.environ.get("ASYNCSTORE_TEST_TRANSFER_BYTES", "0"))

# Both ways, in parts: 8 s, which is more than five leases long, for a lease is half as long as the token.
_SMALL: Final = 20 * MiB
_RATE: Final = 5 * MiB

# One request after the other: in flight together, all would set out with the first credentials.
_TOGETHER: Final = 8 if _BYTES else 1
_UPLOAD: Final = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB, max_concurrency=_TOGETHER)
_DOWNLOAD: Final = DownloadOptions(part_size=5 * MiB, max_concurrency=_TOGETHER)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> object:
    """
    The server of the fixture that the parameter names; of module scope, to start before a test sets its own home.
    """
    return request.getfixturevalue(request.param) if request.param else None


@pytest.mark.timeout(600 if _BYTES else 60)
@pytest.mark.parametrize(
    ("place_at", "server"), PLACES.items(), ids=[place.__name__ for place in PLACES], indirect=["server"]
)
async def test_a_transfer_outlives_its_credentials(
    place_at: Open, server: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Every part is sent with valid credentials, which are refreshed as often as needed and not more.
    """
    rate = float("inf") if _BYTES else _RATE
    async with place_at(Around(server, rate, monkeypatch, tmp_path)) as place:
        config = StorageConfig.build(place.uri, {**place.settings, "auth": place.auth})
        names = [f"weights-{number}.bin" for number in range(place.objects)]
        for name in names:
            _write(tmp_path / name, (_BYTES or _SMALL) // place.objects)
        started = time.monotonic()
        async with open_storage(config) as storage:
            for name in names:
                await storage.upload(tmp_path / name, storage.root / name, options=_UPLOAD)
            for name in names:
                await storage.download(storage.root / name, tmp_path / f"{name}.back", options=_DOWNLOAD)
        lifetimes = (time.monotonic() - started) / LIFETIME

        assert all(_same(tmp_path / name, tmp_path / f"{name}.back") for name in names)
        # As fast as it goes, requests can be longer than lives.
        assert _BYTES or lifetimes > 2
        gate = place.gate
        assert max(gate.last[shown] - first for shown, first in gate.seen.items()) < LIFETIME
        assert 2 < place.fetches() <= 1 + 2 * lifetimes
        assert len(place.gate.seen) == place.fetches()


def _write(path: Path, size: int) -> None:
    block = os.urandom(MiB)
    with path.open("wb") as file:
        for start in range(0, size, MiB):
            # No two alike, so that parts in a wrong order would show.
            file.write((start.to_bytes(8, "big") + block[8:])[: size - start])


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        return all(left.read(MiB) == right.read(MiB) for _ in range(0, one.stat().st_size, MiB))

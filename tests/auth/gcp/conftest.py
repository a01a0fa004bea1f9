"""
An environment without the credentials of whoever runs the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.auth.gcp.methods import without_own


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_own(monkeypatch, tmp_path)

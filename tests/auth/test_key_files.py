"""
Secret files are read once, completely, and with a warning if other users can read them.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from asyncstore.auth import key_files
from asyncstore.auth.key_files import MAX_FILE, read_key_file, read_token_file, warn_if_shared
from asyncstore.errors import ConfigurationError
from tests.auth.conftest import FAKE_SECRET

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which files were warned about."""
    monkeypatch.setattr(key_files, "_warned", set())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(FAKE_SECRET)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_file_that_others_can_use(file: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    """
    One warning names the file, its mode and the remedy; the content is read and not shown.
    """
    file.chmod(mode)

    assert read_key_file(file, "key file") == FAKE_SECRET.encode()
    assert read_key_file(file, "key file") == FAKE_SECRET.encode()
    warn_if_shared(file)

    assert [record.getMessage() for record in caplog.records] == [
        f"{file} holds secrets and other users can access it: its mode is {mode:03o}, make it 600"
    ]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_file_of_one_owner(file: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    """
    A file that only its owner can read causes no warning.
    """
    file.chmod(mode)

    read_key_file(file, "key file")
    warn_if_shared(file)

    assert caplog.records == []


def test_token_file_is_for_all(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    A token file for a whole pod is read without a warning and without surrounding whitespace.
    """
    file.write_text("  FAKE-token \n")
    file.chmod(0o644)

    assert read_token_file(file, "token file", 100) == "FAKE-token"
    assert caplog.records == []


def test_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A tilde is the home directory of the user.
    """
    monkeypatch.setenv("HOME", str(file.parent))

    assert read_key_file("~/key", "key file") == FAKE_SECRET.encode()
    assert read_token_file("~/key", "token file", 100) == FAKE_SECRET


def test_missing_file(tmp_path: Path) -> None:
    """
    The error names a missing file; no warning is logged.
    """
    warn_if_shared(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=f"the key file {tmp_path}/none does not exist"):
        read_key_file(tmp_path / "none", "key file")
    with pytest.raises(ConfigurationError, match=f"token file {tmp_path}/none cannot be read"):
        read_token_file(tmp_path / "none", "token file", 100)


def test_directory(tmp_path: Path) -> None:
    """
    A directory is not a file.
    """
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_key_file(tmp_path, "key file")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_token_file(tmp_path, "token file", 100)


@pytest.mark.parametrize("size", [MAX_FILE, MAX_FILE + 1])
def test_long_file(file: Path, size: int) -> None:
    """
    A file that is too long is rejected without being read to its end.
    """
    os.truncate(file, size)

    if size == MAX_FILE:
        assert len(read_key_file(file, "key file")) == size
    else:
        with pytest.raises(ConfigurationError, match=f"more than {MAX_FILE} bytes"):
            read_key_file(file, "key file")

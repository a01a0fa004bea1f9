"""
Settings find their records, and what does not fit is said when a storage is opened.
"""

import ssl
from pathlib import Path
from typing import Any

import pytest

from asyncstore.config import (
    AuthConfig,
    HTTPOptions,
    RetryOptions,
    StorageConfig,
    config_path,
    flag,
    load_profile,
)
from asyncstore.errors import ConfigurationError, InvalidURIError

ROOT = "s3://bucket"


def test_flat_settings_find_their_records() -> None:
    """HTTP and retry options by name, text converted; the rest is the driver's."""
    config = StorageConfig.build(
        ROOT,
        {
            "connect_timeout": "2.5",
            "verify": "no",
            "ca_file": "ca.pem",
            "retry_attempts": "3",
            "deadline": None,
            "region": "eu-west-1",
            "endpoint_url": "http://localhost:9000",
            "max_requests": "8",
            "auth_type": "anonymous",
            "addressing_style": "path",
            "settings": {"colour": "red"},
        },
    )

    assert (config.http.connect_timeout, config.http.verify, config.http.ca_file) == (2.5, False, Path("ca.pem"))
    assert (config.retry.attempts, config.retry.deadline) == (3, None)
    assert (config.region, config.endpoint_url, config.max_requests) == ("eu-west-1", "http://localhost:9000", 8)
    assert config.auth == AuthConfig(auth_type="anonymous")
    assert config.settings == {"addressing_style": "path", "colour": "red"}


def test_records_are_taken_as_they_are() -> None:
    """And single settings change a field of them."""
    http, retry = HTTPOptions(stall_timeout=1), RetryOptions(attempts=9)

    config = StorageConfig.build(ROOT, {"http": http, "retry": retry, "connect_timeout": 3, "max_backoff": 4})

    assert config.http == HTTPOptions(stall_timeout=1, connect_timeout=3.0)
    assert config.retry == RetryOptions(attempts=9, max_backoff=4.0)
    assert config.settings == {}


def test_settings_given_are_left_alone() -> None:
    """The caller's mapping is not used up."""
    settings = {"region": "r", "http": HTTPOptions(), "x": 1}

    StorageConfig.build(ROOT, settings)

    assert settings == {"region": "r", "http": HTTPOptions(), "x": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attempts": 0}, "at least 1"),
        ({"attempts": "many"}, "attempts does not take 'many'"),
        ({"initial_backoff": -1}, "0 or more"),
        ({"connect_timeout": 0}, "above 0"),
        ({"verify": "perhaps"}, "neither true nor false"),
        ({"max_requests": 0}, "at least 1"),
        ({"max_requests": "x"}, "max_requests does not take 'x'"),
        ({"max_buffer_bytes": 0}, "at least 1"),
        ({"attempts": 1, "retry_attempts": 2}, "attempts or retry_attempts, not both"),
        ({"http": {"verify": False}}, "record of HTTPOptions"),
        ({"retry": HTTPOptions()}, "record of RetryOptions"),
        ({"auth": AuthConfig(), "auth_type": "static"}, "not both"),
        ({"ssl_context": ssl.create_default_context(), "verify": False}, "leave out"),
    ],
)
def test_values_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    """Each names the setting or what it takes."""
    with pytest.raises(ConfigurationError, match=message):
        StorageConfig.build(ROOT, settings)


def test_bad_uri() -> None:
    """The URI is read as anywhere."""
    with pytest.raises(InvalidURIError):
        StorageConfig.build("bucket", {})


@pytest.mark.parametrize("value", [True, "1", "true", " YES ", "on"])
def test_true(value: object) -> None:
    """In the spellings people type."""
    assert flag(value) is True


@pytest.mark.parametrize("value", [False, "0", "False", "no", "OFF", "", 0])
def test_false(value: object) -> None:
    """In the spellings people type."""
    assert flag(value) is False


def test_secrets_do_not_show() -> None:
    """Settings, headers and proxies can hold them."""
    config = StorageConfig.build(
        ROOT,
        {
            "secret_key": "hush",
            "headers": {"x": "hush"},
            "proxy": "http://u:hush@p",
            "auth": AuthConfig(settings={"k": "hush"}),
        },
    )

    assert "hush" not in repr(config)


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text('[profiles.lab]\nregion = "r"\nattempts = 2\naddressing_style = "path"\n')
    return file


def test_profile(profiles: Path) -> None:
    """A table of flat settings of a TOML file."""
    config = StorageConfig.from_profile(ROOT, "lab", path=profiles)

    assert (config.region, config.retry.attempts, config.settings) == ("r", 2, {"addressing_style": "path"})


def test_profiles_that_cannot_be_read(profiles: Path, tmp_path: Path) -> None:
    """A missing file, a missing profile and bad TOML each say so."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_profile("lab", path=tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r"no profile 'x'; it has \['lab'\]"):
        load_profile("x", path=profiles)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_profile("lab", path=tmp_path)
    for text in (b"[profiles", b"\xff"):
        profiles.write_bytes(text)
        with pytest.raises(ConfigurationError, match="not valid TOML"):
            load_profile("lab", path=profiles)


@pytest.mark.parametrize("text", ["profiles = 3", 'profiles = "lab"', "[profiles]\nlab = 3"])
def test_profiles_of_another_shape(profiles: Path, text: str) -> None:
    """A profile is a table in a table."""
    profiles.write_text(text)

    with pytest.raises(ConfigurationError, match=r"write \[profiles.lab\]"):
        load_profile("lab", path=profiles)


def test_where_profiles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, else the user's configuration directory."""
    monkeypatch.setenv("ASYNCSTORE_CONFIG", "/some/file.toml")
    assert config_path() == Path("/some/file.toml")
    monkeypatch.delenv("ASYNCSTORE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert config_path() == Path("/xdg/asyncstore/config.toml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config_path() == Path.home() / ".config/asyncstore/config.toml"

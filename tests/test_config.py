"""
Settings are sorted into records, and invalid values are refused when a storage is opened.
"""

import ssl
from pathlib import Path
from typing import Any

import pytest

from asyncstore import config
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
from asyncstore.uri import parse_uri

ROOT = "s3://bucket"

#: The records, for values that a type checker refuses.
untyped: Any = config


def test_flat_settings_find_their_records() -> None:
    """HTTP and retry options are recognized by name and converted; the rest goes to the driver."""
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
    """Records are accepted, and single settings change their fields."""
    http, retry = HTTPOptions(stall_timeout=1), RetryOptions(attempts=9)

    config = StorageConfig.build(ROOT, {"http": http, "retry": retry, "connect_timeout": 3, "max_backoff": 4})

    assert config.http == HTTPOptions(stall_timeout=1, connect_timeout=3.0)
    assert config.retry == RetryOptions(attempts=9, max_backoff=4.0)
    assert config.settings == {}


def test_callers_settings_are_unchanged() -> None:
    """The caller's mapping is not modified."""
    settings = {"region": "r", "http": HTTPOptions(), "x": 1}

    StorageConfig.build(ROOT, settings)

    assert settings == {"region": "r", "http": HTTPOptions(), "x": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attempts": 0}, "at least 1"),
        ({"attempts": "many"}, "attempts takes a whole number, not 'many'"),
        ({"initial_backoff": -1}, "0 or more"),
        ({"connect_timeout": 0}, "above 0"),
        ({"verify": "perhaps"}, "verify takes true or false, not 'perhaps'"),
        ({"max_requests": 0}, "at least 1"),
        ({"max_requests": "x"}, "max_requests takes a whole number, not 'x'"),
        ({"max_buffer_bytes": 0}, "at least 1"),
        ({"attempts": 1, "retry_attempts": 2}, "attempts or retry_attempts, not both"),
        ({"http": {"verify": False}}, "http takes HTTPOptions, .*not {'verify': False}"),
        ({"retry": HTTPOptions()}, "retry takes RetryOptions, .*not HTTPOptions"),
        ({"region": 5}, "region takes text, not 5"),
        ({"connect_timeout": True}, "connect_timeout takes a number, not True"),
        ({"max_requests": 2.5}, "max_requests takes a whole number, not 2.5"),
        ({"ca_file": 5}, "ca_file takes a path, not 5"),
        ({"headers": ["x"]}, "headers takes a mapping of text to text, not list"),
        ({"auth": "static"}, "auth takes an AuthConfig, not 'static'"),
        ({"settings": "x"}, "settings takes a mapping, not str"),
        ({"stall_timeout": "nan"}, "stall_timeout must be above 0 seconds, not nan"),
        ({"connect_timeout": "inf"}, "connect_timeout must be above 0 seconds, not inf"),
        ({"max_backoff": "nan"}, "max_backoff must be 0 or more seconds, not nan"),
        ({"deadline": -1}, "deadline must be above 0 seconds, or None for no limit, not -1"),
        ({"deadline": "nan"}, "deadline must be above 0 seconds"),
        ({"headers": {"a b": "x"}}, "'a b' is not the name of a header"),
        ({"headers": {"a": "x\r\nb: y"}}, "the value of the header a must be one line of ASCII text"),
        ({"user_agent": "x\ny"}, "the value of the header user_agent must be one line"),
        ({"auth": AuthConfig(), "auth_type": "static"}, "not both"),
        ({"ssl_context": ssl.create_default_context(), "verify": False}, "leave out"),
    ],
)
def test_invalid_values_are_refused(settings: dict[str, Any], message: str) -> None:
    """Each error names the setting or what it takes."""
    with pytest.raises(ConfigurationError, match=message):
        StorageConfig.build(ROOT, settings)


@pytest.mark.parametrize(
    "proxy", ["nonsense", "proxy.example:3128", "ftp://proxy.example", "http://", "http://h:99999"]
)
def test_proxies_are_urls(proxy: str) -> None:
    """The error does not show the value, which can hold a password."""
    with pytest.raises(ConfigurationError, match="proxy takes the URL of an HTTP proxy") as failure:
        StorageConfig.build(ROOT, {"proxy": proxy})

    assert proxy not in str(failure.value).replace("http://proxy.example:3128", "")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: untyped.StorageConfig(uri="memory://b"), "uri takes an ObjectURI, not 'memory://b'"),
        (
            lambda: untyped.StorageConfig(uri=parse_uri(ROOT), max_requests="4"),
            "max_requests takes a whole number, not '4'",
        ),
        (lambda: untyped.HTTPOptions(connect_timeout="1"), "connect_timeout takes a number, not '1'"),
        (lambda: untyped.HTTPOptions(headers="secret"), "headers takes a mapping, not str"),
        (lambda: untyped.HTTPOptions(verify=0), "verify takes True or False, not 0"),
        (lambda: untyped.RetryOptions(deadline="300"), "deadline takes a number or None, not '300'"),
        (lambda: untyped.AuthConfig(settings="secret"), "settings takes a mapping, not str"),
        (lambda: untyped.AuthConfig(fallback="profile"), "fallback takes an AuthConfig or None, not 'profile'"),
    ],
)
def test_records_of_wrong_types(build: Any, message: str) -> None:
    """A record that is built by hand converts nothing."""
    with pytest.raises(TypeError, match=message):
        build()


def test_bad_uri() -> None:
    """An invalid URI is refused."""
    with pytest.raises(InvalidURIError):
        StorageConfig.build("bucket", {})


@pytest.mark.parametrize("value", [True, "1", "true", " YES ", "on"])
def test_true(value: object) -> None:
    """Several spellings of true are accepted."""
    assert flag(value) is True


@pytest.mark.parametrize("value", [False, "0", "False", "no", "OFF", "", 0])
def test_false(value: object) -> None:
    """Several spellings of false are accepted."""
    assert flag(value) is False


def test_secrets_do_not_show() -> None:
    """The repr shows no secrets of settings, headers and proxies."""
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
    """A profile is a table of flat settings in a TOML file."""
    config = StorageConfig.from_profile(ROOT, "lab", path=profiles)

    assert (config.region, config.retry.attempts, config.settings) == ("r", 2, {"addressing_style": "path"})


def test_profiles_that_cannot_be_read(profiles: Path, tmp_path: Path) -> None:
    """A missing file, a missing profile and invalid TOML have their own messages."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_profile("lab", path=tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r"no profile 'x'; it has \['lab'\]"):
        load_profile("x", path=profiles)
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_profile("lab", path=tmp_path)
    for text in (b"[profiles", b"\xff"):
        profiles.write_bytes(text)
        with pytest.raises(ConfigurationError, match="not valid TOML"):
            load_profile("lab", path=profiles)


@pytest.mark.parametrize("text", ["profiles = 3", 'profiles = "lab"', "[profiles]\nlab = 3"])
def test_profiles_of_another_shape(profiles: Path, text: str) -> None:
    """A profile must be a table in the table of profiles."""
    profiles.write_text(text)

    with pytest.raises(ConfigurationError, match=r"write \[profiles.lab\]"):
        load_profile("lab", path=profiles)


def test_where_profiles_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable overrides the user's configuration directory."""
    monkeypatch.setenv("ASYNCSTORE_CONFIG", "/some/file.toml")
    assert config_path() == Path("/some/file.toml")
    monkeypatch.delenv("ASYNCSTORE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert config_path() == Path("/xdg/asyncstore/config.toml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config_path() == Path.home() / ".config/asyncstore/config.toml"


def test_variables_of_the_command_line_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The settings of a program are in its code or in a profile, whatever is in the environment of the commands.
    """
    monkeypatch.setenv("ASYNCSTORE_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ASYNCSTORE_REGION", "eu-central-1")

    config = StorageConfig.build("s3://bucket", {})

    assert (config.endpoint_url, config.region) == (None, None)

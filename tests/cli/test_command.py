"""
The command as a whole: exit codes, settings, sizes, what it needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from asyncstore.cli.app import app
from asyncstore.cli.output import human, parse_size, printable
from asyncstore.cli.running import exit_code
from asyncstore.cli.settings import Connection, environment_settings
from asyncstore.errors import (
    ConfigurationError,
    DeadlineExceededError,
    IntegrityError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
)
from asyncstore.uri import parse_uri
from tests.cli.shell import clean_environment, invoke, make, records, run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("x"), 1),
        (IntegrityError("x"), 1),
        (ConfigurationError("x"), 2),
        (NotFoundError("x"), 3),
        (PermissionDeniedError("x"), 4),
        (UnauthenticatedError("x"), 4),
        (ThrottledError("x"), 5),
        (DeadlineExceededError("x"), 5),
    ],
    ids=repr,
)
def test_exit_codes(error: StorageError, code: int) -> None:
    """
    Each kind of failure has its code.
    """
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cat", "file:///nothing/at/all"], 3),
        (["cat", "nonsense"], 2),
        (["ls", "file:///nothing/at/all/"], 3),
        (["ls"], 2),
        (["--nonsense"], 2),
        (["--version"], 0),
        (["cp", "/nothing/at/all", "memory://b/k"], 3),
    ],
    ids=str,
)
def test_exit_codes_of_the_process(arguments: list[str], code: int) -> None:
    """
    Scripts see them; nobody sees a traceback.
    """
    result = run(*arguments)

    assert result.returncode == code
    assert b"Traceback" not in result.stderr


def test_debug_shows_where() -> None:
    """
    A traceback is there for those who ask.
    """
    assert b"Traceback" in run("cat", "file:///nothing/at/all", "--debug").stderr


def test_errors_as_json() -> None:
    """
    A command that fails as a whole ends with an error.
    """
    result = invoke("cat", "memory://b/k", "--json")

    (record,) = records(result.stdout)
    assert (record["type"], record["exit_code"]) == ("error", 3)
    assert record["error"]["kind"] == "NotFoundError"
    assert record["error"]["uri"] == "memory://b/k"


def test_all_items_failed_for_one_reason(tmp_path: Path) -> None:
    """
    That reason is the exit code; some failures among successes are 1.
    """
    make(tmp_path, {"a": b""})

    assert invoke("cp", tmp_path / "b", tmp_path / "c", "memory://b/").exit_code == 3
    assert invoke("cp", tmp_path / "a", tmp_path / "b", "memory://b/").exit_code == 1


def test_unexpected_errors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A bug of ours is told as such.
    """

    def broken(*_: object, **__: object) -> Any:
        raise KeyError("oops")

    monkeypatch.setattr(Connection, "open", broken)
    result = invoke("ls", "memory://b")

    assert result.exit_code == 1
    assert result.stderr == "asyncstore: unexpected KeyError: 'oops'; --debug shows where\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing: str) -> None:
    """
    It says what to install.
    """
    program = f"import sys; sys.modules['{missing}'] = None; from asyncstore.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, env=clean_environment(), check=False)

    assert result.returncode == 2
    assert result.stderr.decode() == f"asyncstore: the command needs {missing}: pip install 'asyncstore[cli]'\n"


class TestSettings:
    """Options win over profiles, profiles over the environment."""

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        monkeypatch.setattr("asyncstore.cli.settings.open_storage", lambda uri, **settings: seen.update(settings))
        return seen

    @pytest.fixture(autouse=True)
    def profiles(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "config.toml").write_text('[profiles.lab]\nregion = "profile"\nendpoint_url = "profile"\n', "utf-8")
        monkeypatch.setenv("ASYNCSTORE_CONFIG", str(tmp_path / "config.toml"))
        monkeypatch.setenv("ASYNCSTORE_REGION", "environment")
        monkeypatch.setenv("ASYNCSTORE_ADDRESSING_STYLE", "path")

    def test_environment(self, opened: dict[str, Any]) -> None:
        Connection().open(parse_uri("s3://b"))

        assert opened == {"region": "environment", "addressing_style": "path"}

    @pytest.mark.parametrize("by", ["option", "variable"])
    def test_profile(self, opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch, by: str) -> None:
        monkeypatch.setenv("ASYNCSTORE_PROFILE", "lab" if by == "variable" else "other")
        Connection(profile="lab" if by == "option" else None).open(parse_uri("s3://b"))

        assert opened == {"region": "profile", "endpoint_url": "profile", "addressing_style": "path"}

    def test_options(self, opened: dict[str, Any]) -> None:
        connection = Connection(profile="lab", region="option", set_=["a-b=c=d"], no_sign_request=True)
        connection.open(parse_uri("s3://b"), max_requests=4)

        assert opened["region"] == "option"
        assert opened["a_b"] == "c=d"
        assert opened["auth_type"] == "anonymous"
        assert opened["max_requests"] == 4

    def test_files_are_of_no_cloud(self, opened: dict[str, Any]) -> None:
        Connection(region="option", set_=["sync=false"]).open(parse_uri("file:///tmp"))

        assert opened == {"sync": "false"}

    def test_variables_that_are_no_settings(self) -> None:
        assert environment_settings({"ASYNCSTORE_CONFIG": "x", "ASYNCSTORE_TEST_X": "y", "REGION": "z"}) == {}

    def test_unknown_profile(self) -> None:
        result = invoke("ls", "s3://b", "--profile", "nope")

        assert result.exit_code == 2
        assert "has no profile 'nope'" in result.stderr

    def test_secrets_in_the_wrong_place_are_not_repeated(self) -> None:
        assert "hunter2" not in invoke("ls", "memory://b", "--set", "hunter2").output


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("16MiB", 16 << 20),
        ("16M", 16 << 20),
        ("16MB", 16_000_000),
        ("1.5 kib", 1536),
        ("2GiB", 2 << 30),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """
    Units with an i, or a letter alone, are binary.
    """
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1XB", "MiB"])
def test_sizes_that_are_none(text: str) -> None:
    """
    Better refused than guessed.
    """
    with pytest.raises(ConfigurationError):
        parse_size(text)


def test_for_people() -> None:
    """
    Sizes are short, and text is harmless.
    """
    assert [human(size) for size in (0, 1023, 1024, 1536 * 1024)] == ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]
    assert printable("a\x1b\u202eé\udcff") == "a\\x1b\\u202eé\\udcff"


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    # Typer does not say what is a group.
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield above + name, command


def options() -> list[tuple[str, str]]:
    return [
        (name, option)
        for name, command in commands(get_command(app))
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
        for option in parameter.opts
        if option.startswith("--")
    ]


@pytest.mark.parametrize(("command", "option"), options())
def test_reference_has_every_option(command: str, option: str) -> None:
    """
    The page names every command and option.
    """
    page = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text("utf-8")

    assert f"`{command}" in page
    assert option in page

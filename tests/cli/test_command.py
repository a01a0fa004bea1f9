"""
The command as a whole: exit codes, settings, sizes, missing packages.
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
from asyncstore.cli.output import human, parse_rates, parse_size, printable
from asyncstore.cli.running import exit_code
from asyncstore.cli.settings import Connection, SourceConnection, environment_settings
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
    Each kind of error has its exit code.
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
    Scripts see the exit codes; tracebacks are not shown.
    """
    result = run(*arguments)

    assert result.returncode == code
    assert b"Traceback" not in result.stderr


def test_debug_shows_where() -> None:
    """
    --debug shows the traceback.
    """
    assert b"Traceback" in run("cat", "file:///nothing/at/all", "--debug").stderr


def test_errors_as_json() -> None:
    """
    A command that fails as a whole writes an error record last.
    """
    result = invoke("cat", "memory://b/k", "--json")

    (record,) = records(result.stdout)
    assert (record["type"], record["exit_code"]) == ("error", 3)
    assert record["error"]["kind"] == "NotFoundError"
    assert record["error"]["uri"] == "memory://b/k"


def test_all_items_failed_for_one_reason(tmp_path: Path) -> None:
    """
    If all items fail for one reason, it decides the exit code; some failures among successes exit with 1.
    """
    make(tmp_path, {"a": b""})

    assert invoke("cp", tmp_path / "b", tmp_path / "c", "memory://b/").exit_code == 3
    assert invoke("cp", tmp_path / "a", tmp_path / "b", "memory://b/").exit_code == 1


def test_unexpected_errors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An unexpected exception is reported as such.
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
    Without the cli extra, the command prints what to install.
    """
    program = f"import sys; sys.modules['{missing}'] = None; from asyncstore.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, env=clean_environment(), check=False)

    assert result.returncode == 2
    assert result.stderr.decode() == f"asyncstore: the command needs {missing}: pip install 'asyncstore[cli]'\n"


class TestSettings:
    """Options override profiles, and profiles override the environment."""

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
        Connection().storage(parse_uri("s3://b"))

        assert opened == {"region": "environment", "addressing_style": "path"}

    @pytest.mark.parametrize("by", ["option", "variable"])
    def test_profile(self, opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch, by: str) -> None:
        monkeypatch.setenv("ASYNCSTORE_PROFILE", "lab" if by == "variable" else "other")
        Connection(profile="lab" if by == "option" else None).storage(parse_uri("s3://b"))

        assert opened == {"region": "profile", "endpoint_url": "profile", "addressing_style": "path"}

    def test_options(self, opened: dict[str, Any]) -> None:
        connection = Connection(profile="lab", region="option", set_=["a-b=c=d"], no_sign_request=True)
        connection.storage(parse_uri("s3://b"), max_requests=4)

        assert opened["region"] == "option"
        assert opened["a_b"] == "c=d"
        assert opened["auth_type"] == "anonymous"
        assert opened["max_requests"] == 4

    def test_files_do_not_use_the_cloud_settings(self, opened: dict[str, Any]) -> None:
        Connection(region="option", set_=["sync=false"]).storage(parse_uri("file:///tmp"))

        assert opened == {"sync": "false"}

    def test_variables_that_are_not_settings(self) -> None:
        others = {"ASYNCSTORE_CONFIG": "x", "ASYNCSTORE_FAST_HTTP": "0", "ASYNCSTORE_TEST_X": "y", "REGION": "z"}
        assert environment_settings(others) == {}

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
def test_invalid_sizes(text: str) -> None:
    """
    An ambiguous size is refused.
    """
    with pytest.raises(ConfigurationError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("50MB/s", {"upload": 50e6, "download": 50e6}),
        ("64K", {"upload": 65536, "download": 65536}),
        ("10M:off", {"upload": 10 * 1024**2}),
        ("off:1MiB/s", {"download": 1024**2}),
        ("off", {}),
    ],
)
def test_rates(text: str, rates: dict[str, float]) -> None:
    """
    One rate holds for each way; two are for what is sent and what is received.
    """
    assert parse_rates(text) == rates


@pytest.mark.parametrize("text", ["", "fast", "0", "1M:", "1M:2M:3M", "-1"])
def test_invalid_rates(text: str) -> None:
    """
    The error says what the option takes.
    """
    with pytest.raises(ConfigurationError, match="--limit-rate takes bytes a second, such as 50MB/s"):
        parse_rates(text)


def test_ceilings_are_settings_of_every_storage(tmp_path: Path) -> None:
    """
    Those of the command line hold for the source and the target, and ``--set`` overrides them.
    """
    main = Connection(limit_rate="2MB/s:1MB/s", limit_requests=50, set_=["requests_per_second=7"])
    expected = {"upload_bytes_per_second": 2e6, "download_bytes_per_second": 1e6}

    assert main.from_options() == {**expected, "requests_per_second": "7"}
    assert SourceConnection().connection(main).from_options() == {**expected, "requests_per_second": 50}
    storage = main.storage(parse_uri(tmp_path.as_uri()))
    assert storage._config.download_bytes_per_second == 1e6
    assert storage._config.requests_per_second == 7


def test_for_people() -> None:
    """
    Sizes are readable, and control characters are escaped.
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
    The reference page names every command and option.
    """
    page = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text("utf-8")

    assert f"`{command}" in page
    assert option in page


@pytest.mark.parametrize(
    ("words", "expected"),
    [("asyncstore sy", "sync"), ("asyncstore sync --che", "--checksum"), ("asyncstore cp --symlinks f", "follow")],
)
def test_completion(words: str, expected: str) -> None:
    """
    A shell completes commands, options and their values.
    """
    variables = {"_ASYNCSTORE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}

    assert run(env=variables).stdout.decode().split() == [expected]

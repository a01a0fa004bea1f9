"""
``asyncstore auth whoami``, and the credentials that ``doctor`` shows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from asyncstore.auth.factories import BUILT_IN
from tests.cli.shell import invoke, records

_VARIABLES = ("AWS_", "ASYNCSTORE_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "GCE_", "GH_", "GITHUB_", "OCI_")

KEY_ID = "AKIAFAKEFAKEFAKE0001"
SECRET = "FAKE0secret0access0key0for0tests0only"
TOKEN = "FAKE0session0token0for0tests0only"

ENDS = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Agent(BaseHTTPRequestHandler):
    """
    Serves credentials like a container agent, and counts the requests.
    """

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": ENDS})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass


@pytest.fixture
def agent() -> Iterator[str]:
    handler = type("Handler", (Agent,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Neither this machine nor its user has credentials.
    """
    for name in [name for name in os.environ if name.startswith(_VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:9/opc/v2")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


STATIC: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "eu-central-2",
}


@pytest.mark.parametrize("target", ["s3", "aws", "s3://bucket/prefix"])
def test_of_a_provider_and_of_a_bucket(target: str) -> None:
    """
    A provider's name, its alias and a URI find the same credentials; secrets are not shown.
    """
    (found, summary) = records(invoke("auth", "whoami", target, "--json", env=STATIC).stdout)

    assert (found["type"], found["provider"], found["source"]) == ("credentials", "s3", "environment: environment")
    assert (found["region"], found["expires"], found["anonymous"]) == ("eu-central-2", None, False)
    assert summary == {"type": "summary", "command": "whoami", "ok": True}
    assert SECRET not in invoke("auth", "whoami", target, env=STATIC).output


def test_where_settings_come_from(agent: str) -> None:
    """
    The requested method, the names of its settings, and the expiry that the service reports.
    """
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent}
    result = invoke(
        "auth", "whoami", "s3", "--auth-type", "container", "--setting", f"authorization_token={TOKEN}", env=env
    )

    assert result.exit_code == 0, result.output
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()[1:]]
    assert ["method", "container"] in lines
    assert ["expires", ENDS] in lines
    assert ["credentials_uri", "from AWS_CONTAINER_CREDENTIALS_FULL_URI"] in lines
    assert ["authorization_token", "from settings"] in lines
    assert TOKEN not in result.output
    assert SECRET not in result.output


def test_settings_of_the_profile_and_of_variables(tmp_path: Path) -> None:
    """
    Profiles and variables apply as in any other command; the driver's settings among them are ignored.
    """
    (tmp_path / "config.toml").write_text(
        f'[profiles.lab]\naccess_key_id = "{KEY_ID}"\nsecret_access_key = "{SECRET}"\naddressing_style = "path"\n'
        'retry_attempts = 2\nmax_requests = 4\nproxy = "http://127.0.0.1:9"\n',
        "utf-8",
    )
    env = {"ASYNCSTORE_CONFIG": str(tmp_path / "config.toml"), "ASYNCSTORE_REGION": "eu-north-9"}

    result = invoke("auth", "whoami", "s3", "--profile", "lab", "--json", env=env)

    assert result.exit_code == 0, result.output
    found = records(result.stdout)[0]
    assert (found["method"], found["region"]) == ("static", "eu-north-9")
    assert found["settings"] == {"access_key_id": "settings", "secret_access_key": "settings"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["s3"], 4, "environment: AWS_ACCESS_KEY_ID is not set; profile: "),
        (["s3"], 4, "container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor "),
        (["s3", "--set", "sekret=1"], 2, "AWS credentials have no setting 'sekret'. They have access_key_id"),
        (["s3", "--auth-type", "magic"], 2, "AWS has no auth_type 'magic'. It has default, static"),
        (["s3://b", "--auth-type", "magic"], 2, "AWS has no auth_type 'magic'. It has default, static"),
        (["s3", "--auth-type", "container", "--set", "credentials_uri=http://127.0.0.1:9/"], 5, "no answer from"),
        (["nowhere"], 2, "no credentials for provider 'nowhere': known are"),
        (["memory://b"], 2, "memory storages do not use credentials"),
        (["--auth-type", "static"], 2, "settings apply to one provider: name it"),
        (["s3", "--endpoint-url", "https://s3.example"], 2, "endpoint_url applies to a storage, not to credentials"),
        (["s3", "--set", "hunter2"], 2, "--set takes KEY=VALUE"),
    ],
    ids=str,
)
def test_errors_are_reported(arguments: list[str], code: int, message: str) -> None:
    """
    Errors are one line on stderr, with the usual exit codes; for a chain the line says why each method was skipped.
    """
    result = invoke("auth", "whoami", *arguments)

    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "hunter2" not in result.output


def test_errors_as_json() -> None:
    """
    The message says why each method of the chain was skipped.
    """
    (record,) = records(invoke("auth", "whoami", "s3", "--json").stdout)

    assert (record["type"], record["exit_code"]) == ("error", 4)
    assert "instance_profile: AWS_EC2_METADATA_DISABLED is set" in record["error"]["message"]


def test_doctor_shows_the_same(agent: str) -> None:
    """
    doctor shows the credentials even if the endpoint does not answer.
    """
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent, "ASYNCSTORE_RETRY_ATTEMPTS": "1"}
    arguments = ["s3://bucket", "--endpoint-url", "http://127.0.0.1:9", "--set", "auth_type=container", "--json"]

    doctor = {record["type"]: record for record in records(invoke("doctor", *arguments, env=env).stdout)}
    whoami = {record["type"]: record for record in records(invoke("auth", "whoami", *arguments, env=env).stdout)}

    assert doctor["credentials"] == whoami["credentials"]
    assert doctor["credentials"]["settings"] == {"credentials_uri": "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    assert doctor["error"]["exit_code"] == 5


def test_all_providers() -> None:
    """
    One line per provider, with the reason if it has no credentials; the exit code says if none has any.
    """
    without, found = invoke("auth", "whoami"), invoke("auth", "whoami", env=STATIC)

    assert (without.exit_code, found.exit_code) == (4, 0)
    lines = dict(line.split(maxsplit=1) for line in without.stdout.splitlines())
    assert list(lines) == list(BUILT_IN)
    assert "environment: AWS_ACCESS_KEY_ID is not set; " in lines["s3"]
    assert "s3                     default (environment: environment)" in found.stdout
    assert all(lines[provider].startswith("none: ") for provider in ("s3", "gcs", "azure", "oci"))


def test_all_providers_as_json() -> None:
    """
    One record per provider, with or without credentials, and a summary.
    """
    *found, summary = records(invoke("auth", "whoami", "--json", env=STATIC).stdout)

    assert [record["provider"] for record in found] == list(BUILT_IN)
    assert [record["type"] for record in found if record["provider"] in ("s3", "gcs")] == ["credentials", "error"]
    assert summary == {"type": "summary", "command": "whoami", "ok": True}

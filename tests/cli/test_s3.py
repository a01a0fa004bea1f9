"""
The command against a real S3 server.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, clean_environment, make, records, run, tree
from tests.cli.test_interrupt import CLEANED_UP
from tests.servers.s3 import Keys, S3Server, blocking_client, fresh_bucket

MiB = 1024 * 1024


def environment(server: S3Server, keys: Keys | None = None) -> dict[str, str]:
    """
    Return the environment of a user of *server*.
    """
    using = keys or server.keys
    return {
        "AWS_ACCESS_KEY_ID": using.access_key_id,
        "AWS_SECRET_ACCESS_KEY": using.secret_access_key,
        "ASYNCSTORE_ENDPOINT_URL": server.endpoint_url,
        "ASYNCSTORE_REGION": server.region,
        "ASYNCSTORE_RETRY_ATTEMPTS": "2",
    }


@pytest.fixture
def bucket(seaweed: S3Server) -> str:
    return f"s3://{fresh_bucket(seaweed)}"


def test_tree_there_and_back(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    Large and small files, with multipart uploads and parallel downloads.
    """
    files = {"big.bin": bytes(range(256)) * (20 * MiB // 256), "a/b.txt": b"b", "empty": b""}
    source, env = make(tmp_path / "source", files), environment(seaweed)

    up = run("cp", "-r", source, f"{bucket}/tree", "--part-size", "5MiB", env=env)
    listing = run("ls", "-r", f"{bucket}/tree/", env=env)
    down = run("cp", "-r", f"{bucket}/tree", tmp_path / "copy", "--json", env=env)

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert sorted(listing.stdout.decode().split()) == sorted(files)
    assert tree(tmp_path / "copy") == files
    assert records(down.stdout)[-1]["bytes"] == 20 * MiB + 1


def test_copy_inside_and_delete(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    Copies are made by the server, and deletions use batches.
    """
    env = environment(seaweed)
    run("cp", "-r", make(tmp_path / "source", {"a": b"1", "b/c": b"2"}), f"{bucket}/x", env=env)

    assert run("cp", "-r", f"{bucket}/x", f"{bucket}/y", env=env).returncode == 0
    assert run("rm", "-r", f"{bucket}/x", env=env).returncode == 0
    assert run("ls", "-r", bucket, env=env).stdout.decode().split() == ["y/a", "y/b/c"]


def test_settings_by_options(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    The source can have its own settings.
    """
    source = make(tmp_path / "source", {"a": b"1"})
    run("cp", source / "a", f"{bucket}/a", env=environment(seaweed))
    options = [
        f"--source-endpoint-url={seaweed.endpoint_url}",
        f"--source-region={seaweed.region}",
        f"--source-set=access_key_id={seaweed.access_key_id}",
        f"--source-set=secret_access_key={seaweed.secret_access_key}",
    ]

    result = run("cp", f"{bucket}/a", (tmp_path / "store").as_uri() + "/a", *options)

    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "store") == {"a": b"1"}


def test_exit_codes(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    Not found, access denied and unreachable have different exit codes; no secret is shown.
    """
    assert seaweed.readonly is not None
    source = make(tmp_path, {"a": b"1"}) / "a"
    env, readonly = environment(seaweed), environment(seaweed, seaweed.readonly)
    wrong = environment(seaweed, Keys(seaweed.access_key_id, "wrong-secret"))
    unreachable = {**env, "ASYNCSTORE_ENDPOINT_URL": "http://127.0.0.1:9"}

    results = {
        3: [run("cat", f"{bucket}/nothing", env=env), run("ls", f"{bucket}-nothing", env=env)],
        4: [run("cp", source, f"{bucket}/a", env=readonly), run("ls", bucket, env=wrong)],
        5: [run("ls", bucket, env=unreachable)],
    }

    assert {code: [result.returncode for result in group] for code, group in results.items()} == {
        3: [3, 3],
        4: [4, 4],
        5: [5],
    }
    assert all(b"secret" not in result.stderr for group in results.values() for result in group)


def test_doctor(seaweed: S3Server, bucket: str) -> None:
    """
    whoami shows the source of the credentials, but no secrets.
    """
    result = run("doctor", bucket, env=environment(seaweed))

    assert result.returncode == 0, result.stderr
    assert seaweed.endpoint_url.encode() in result.stdout
    assert seaweed.secret_access_key.encode() not in result.stdout


@pytest.mark.parametrize("wrong", ["keys", "endpoint"])
def test_doctor_explains(seaweed: S3Server, bucket: str, wrong: str) -> None:
    """
    doctor reports an error with advice, after the resolved settings.
    """
    env = environment(seaweed, Keys(seaweed.access_key_id, "wrong") if wrong == "keys" else None)
    if wrong == "endpoint":
        env["ASYNCSTORE_ENDPOINT_URL"] = "http://127.0.0.1:9"

    result = run("doctor", bucket, env=env)

    assert result.returncode == (4 if wrong == "keys" else 5)
    assert b"region" in result.stdout
    assert b"advice: check " in result.stderr


def test_presign(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    A presigned URL reads the object without credentials.
    """
    env = environment(seaweed)
    run("cp", make(tmp_path, {"a": b"1"}) / "a", f"{bucket}/a", env=env)

    url = run("presign", f"{bucket}/a", "--expires", "5m", env=env).stdout.decode().strip()

    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as reply:
        assert reply.read() == b"1"


def test_presign_with_options(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    Headers that requests must send go to stderr, so that stdout is the URL alone; with --json the record has them.
    """
    env = environment(seaweed)
    command = ("presign", f"{bucket}/new", "--method", "put", "--content-type", "text/csv", "--no-overwrite")

    written = run(*command, env=env)
    (record,) = records(run(*command, "--json", env=env).stdout)
    read = run("presign", f"{bucket}/a", "--range", "0:1", "--response-content-disposition", "inline", env=env)

    assert written.stdout.decode().startswith("http")
    assert written.stderr.decode().splitlines() == [
        "requests must send the header Content-Type: text/csv",
        "requests must send the header If-None-Match: *",
    ]
    assert record["headers"] == {"Content-Type": "text/csv", "If-None-Match": "*"}
    assert record["expires"].endswith("Z")
    assert b"response-content-disposition=inline" in read.stdout
    assert b"Range: bytes=0-0" in read.stderr


def test_presigned_form(seaweed: S3Server, bucket: str, tmp_path: Path) -> None:
    """
    The command that is printed uploads a file; the record has the same form.
    """
    env = environment(seaweed)
    command = ("presign", f"{bucket}/inbox/", "--method", "post", "--content-type", "text/plain", "--max-size", "4B")

    printed = run(*command, env=env)
    (record,) = records(run(*command, "--json", env=env).stdout)
    words = shlex.split(printed.stdout.decode())
    fields = [words[at + 1] for at, word in enumerate(words) if word == "--form-string"]

    assert [words[0], *words[-3:]] == ["curl", "--form", "file=@FILE", record["url"]]
    assert fields[0] == "key=" + record["fields"]["key"]
    assert {field.partition("=")[0] for field in fields} == set(record["fields"])
    assert record["expires"].endswith("Z")
    assert _sent(record["url"], fields, b"data") < 300
    assert _sent(record["url"], fields, b"large") == 400
    assert run("cat", f"{bucket}/inbox/a.txt", env=env).stdout == b"data"


def _sent(url: str, fields: list[str], data: bytes) -> int:
    """
    Send a form as curl does, and return the status.
    """
    form = b""
    for field in fields:
        name, _, value = field.partition("=")
        form += f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    form += (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        + data
        + b"\r\n--limit--\r\n"
    )
    request = urllib.request.Request(url, form, {"Content-Type": "multipart/form-data; boundary=limit"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "POST", "--range", "0:1"), b"leave out the other options, or --method POST"),
        (("--max-size", "1MB"), b"are for forms: add --method POST"),
        (("--method", "POST", "--min-size", "2", "--max-size", "1"), b"not from 2 to 1"),
    ],
)
def test_wrong_options_of_forms(options: tuple[str, ...], message: bytes) -> None:
    result = run("presign", "memory://bucket/key", *options)

    assert result.returncode == 2
    assert message in result.stderr


def test_interrupted_upload(seaweed: S3Server, bucket: str) -> None:
    """
    After an interruption the server has neither an object nor an unfinished upload.
    """
    command = [*COMMAND, "cp", "-", f"{bucket}/big", "--part-size", "5MiB"]
    with (
        blocking_client(seaweed) as client,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(environment(seaweed))
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"x" * 12 * MiB)
        process.stdin.flush()
        name = bucket.removeprefix("s3://")
        while not client.list_multipart_uploads(Bucket=name).get("Uploads"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
        code = process.wait(20)

        assert (code, stderr) == (130, CLEANED_UP)
        assert not client.list_multipart_uploads(Bucket=name).get("Uploads")
        assert not client.list_objects_v2(Bucket=name).get("Contents")


def test_demo(seaweed: S3Server, bucket: str) -> None:
    """
    The demo runs against a real server, and leaves nothing there.
    """
    env = environment(seaweed)

    result = run("demo", "--size", "32MiB", "--files", "40", "--to", f"{bucket}/demo", "--json", env=env)

    assert result.returncode == 0, result.stderr
    assert records(result.stdout)[-1]["ok"] is True
    assert run("ls", "-r", bucket, env=env).stdout == b""

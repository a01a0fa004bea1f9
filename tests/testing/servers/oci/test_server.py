"""
The server itself: injected faults, unsupported operations, and starting it from a shell.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
import sys
from pathlib import Path

import pytest

from asyncstore.testing.faults_proxy import FaultProxy
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.oci import OCIServer, User
from tests.servers.oci import RunningOCI, running_oci, user
from tests.servers.tls import ThrowawayCA
from tests.testing.servers.oci.conftest import Place, refused
from tests.testing.servers.oci.test_signatures import send, signed
from tests.testing.servers.oci.test_uploads import start


def test_injected_rate_limits(place: Place) -> None:
    """An injected fault replaces the reply, and the SDK retries the request."""
    import oci

    fault = place.server.server.fail(429, "TooManyRequests", times=2)
    strategy = oci.retry.RetryStrategyBuilder(
        max_attempts=3,
        service_error_check=True,
        service_error_retry_on_any_5xx=True,
        service_error_retry_config={429: []},
        retry_base_sleep_time_seconds=0,
        retry_max_wait_between_calls_seconds=0,
    ).get_retry_strategy()

    assert place.client.get_namespace(retry_strategy=strategy).data == place.namespace
    assert fault.met == 2


def test_lost_reply_was_carried_out(place: Place) -> None:
    """A write whose reply is lost is still carried out."""
    from oci.exceptions import RequestException

    place.server.server.inject(Fault(status=None, method="PUT", after_work=True))

    with pytest.raises(RequestException):
        place.call("put_object", "a", b"1")

    assert place.read("a") == b"1"


def test_injected_errors(place: Place) -> None:
    """An injected error looks like the service's, with code and request id."""
    from oci.exceptions import ServiceError

    place.server.server.fail(409, "ConcurrentObjectUpdate", "busy", method="PUT", path="/o/a$")

    place.call("put_object", "b", b"1")
    with pytest.raises(ServiceError) as caught:
        place.call("put_object", "a", b"1")
    assert (caught.value.status, caught.value.code, caught.value.message) == (409, "ConcurrentObjectUpdate", "busy")
    assert caught.value.request_id
    place.call("put_object", "a", b"1")


def test_unsupported_operations(place: Place) -> None:
    """An operation that only the service has is answered with NotImplemented."""
    assert place.refused("get_object_lifecycle_policy") == (501, "NotImplemented")
    assert place.refused("list_retention_rules") == (501, "NotImplemented")
    assert place.refused("reencrypt_bucket") == (501, "NotImplemented")


def test_interrupted_body_is_not_stored(place: Place) -> None:
    """When a client disconnects during an upload, nothing is stored."""
    target = f"/n/{place.namespace}/b/{place.bucket}/o/a"
    connection = http.client.HTTPConnection("127.0.0.1", place.server.server.port, timeout=10)
    try:
        connection.request("PUT", target, b"half", {**signed(place, "PUT", target), "content-length": "8"})
        connection.sock.shutdown(socket.SHUT_WR)
        # The server closes the connection without a success.
        assert b" 200 " not in connection.sock.makefile("rb").read()
    finally:
        connection.close()

    assert place.refused("get_object", "a") == (404, "ObjectNotFound")


def test_unknown_paths_and_methods(place: Place) -> None:
    """Unknown paths, unsupported methods and malformed paths have different errors."""
    for method, target, status in [("GET", "/x", 404), ("DELETE", "/n", 405), ("GET", "/n/%ff/b", 400)]:
        assert send(place, method, target, signed(place, method, target)) == status


def test_invalid_json(place: Place) -> None:
    """A body that is not a JSON object is refused."""
    target = f"/n/{place.namespace}/b"
    for body in (b"{", b"[]", b"\xff"):
        assert send(place, "POST", target, signed(place, "POST", target, body), body) == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("u", b'{"object": 1}'),
        ("u", b'{"object": "a", "metadata": "x"}'),
        ("u", b'{"object": "a", "storageTier": []}'),
        ("u/a?uploadId={upload}", b'{"partsToCommit": 1}'),
        ("u/a?uploadId={upload}", b'{"partsToCommit": [1]}'),
        ("u/a?uploadId={upload}", b'{"partsToCommit": [{"partNum": [], "etag": "x"}]}'),
        ("u/a?uploadId={upload}", b'{"partsToCommit": [], "partsToExclude": [[]]}'),
        ("actions/batchDeleteObjects", b'{"objects": ["a"]}'),
        ("actions/batchDeleteObjects", b'{"objects": [{}]}'),
        ("actions/renameObject", b'{"sourceName": {}, "newName": "b"}'),
        ("actions/restoreObjects", b'{"objectName": "a", "hours": "many"}'),
        ("actions/copyObject", b'{"sourceObjectName": "a", "destinationBucket": 1}'),
        ("p", b'{"name": "a", "accessType": "ObjectRead", "objectName": "a", "timeExpires": "soon"}'),
        ("p", b'{"name": "a", "accessType": [], "objectName": "a", "timeExpires": "soon"}'),
    ],
)
def test_details_of_the_wrong_kind(place: Place, path: str, body: bytes) -> None:
    """Details of the wrong type are a client error, not a server error."""
    place.call("put_object", "a", b"1", storage_tier="Standard" if "copy" in path else "Archive")
    upload = start(place)

    target = f"/n/{place.namespace}/b/{place.bucket}/{path.format(upload=upload)}"
    assert send(place, "POST", target, signed(place, "POST", target, body), body) == 400


def test_chunked_bodies_are_refused(place: Place) -> None:
    """A body must have Content-Length."""
    target = f"/n/{place.namespace}/b/{place.bucket}/o/a"
    connection = http.client.HTTPConnection("127.0.0.1", place.server.server.port, timeout=10)
    try:
        connection.request("PUT", target, iter([b"1"]), signed(place, "PUT", target), encode_chunked=True)
        assert connection.getresponse().status == 411
    finally:
        connection.close()


def test_a_refusal_comes_before_the_body(place: Place) -> None:
    """With Expect: 100-continue, a refusal arrives before the body is sent."""
    target = f"/n/{place.namespace}/b/{place.bucket}/o/a"
    headers = {**signed(place, "PUT", target), "content-length": "1000000000", "expect": "100-continue"}
    for extra, status in [({"if-match": "no"}, b"412"), ({}, b"100")]:
        connection = http.client.HTTPConnection("127.0.0.1", place.server.server.port, timeout=10)
        try:
            connection.putrequest("PUT", target, skip_host=True)
            for name, value in {**headers, **extra}.items():
                connection.putheader(name, value)
            connection.endheaders()
            assert connection.sock.recv(64).split()[1] == status
        finally:
            connection.close()


def test_over_tls(tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works over TLS, where the SDK sends Expect: 100-continue."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_ca.ca_file))
    with running_oci(tls=tls) as server, server.client() as client:
        bucket, body = server.fresh_bucket(), bytes(3_000_000)
        client.put_object(server.namespace, bucket, "a", body)
        create_only = {"if_none_match": "*"}
        assert refused(client.put_object, server.namespace, bucket, "a", body, **create_only) == (
            412,
            "IfNoneMatchFailed",
        )

        assert client.get_object(server.namespace, bucket, "a").data.content == body


async def test_behind_a_fault_proxy() -> None:
    """Signatures stay valid through a fault proxy."""
    async with OCIServer(user()) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        server.create_bucket("b")
        running = RunningOCI(server, user(), user())
        with running.client(endpoint_url=proxy.url) as client:
            await asyncio.to_thread(client.put_object, running.namespace, "b", "a", b"1")
            got = await asyncio.to_thread(client.get_object, running.namespace, "b", "a")
            assert got.data.content == b"1"


def test_keys_are_not_shown() -> None:
    """The repr of a user or a session does not show secrets."""
    user = User.generate()
    session = OCIServer(user).authenticate(user)

    assert "PRIVATE" not in repr((user, session))
    assert session.token not in repr(session)


async def test_from_a_shell(tmp_path: Path) -> None:
    """Started from a shell, the server prints its URL and writes a configuration for the SDK."""
    import oci

    arguments = ["-m", "asyncstore.testing.servers", "oci", "--folder", str(tmp_path / "new")]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url, namespace, config = [(await process.stdout.readline()).decode().strip() for _ in range(3)]
        profile = oci.config.from_file(config.removeprefix("config file: "))
        client = oci.object_storage.ObjectStorageClient(profile, service_endpoint=url)
        try:
            found = (await asyncio.to_thread(client.get_namespace)).data
        finally:
            client.base_client.session.close()
    finally:
        process.terminate()
        await process.wait()

    assert f"namespace: {found}" == namespace
    for file in (tmp_path / "new").iterdir():
        assert os.stat(file).st_mode & 0o077 == 0


def test_servers_are_independent(oci_server: RunningOCI) -> None:
    """A server does not know another server's users."""
    assert OCIServer().store.key_of(oci_server.user.key_id, 0.0) is None

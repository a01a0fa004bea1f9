"""
Who is let in: as the official signer, and what is wrong with others.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
from email.utils import formatdate
from typing import Any

import pytest

from asyncstore.testing.servers.oci import User
from tests.servers.oci import RunningOCI
from tests.testing.servers.oci.conftest import Place, refused


def test_another_key_is_refused(oci_server: RunningOCI) -> None:
    """A user whose key the server does not know is not authenticated."""
    with oci_server.client(user=User.generate()) as client:
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_another_key_under_a_known_name_is_refused(oci_server: RunningOCI) -> None:
    """A signature is checked, not only whose it says it is."""
    from oci.signer import Signer

    known, other = oci_server.user, User.generate()
    signer = Signer(known.tenancy, known.user, known.fingerprint, "", private_key_content=other.private_key)
    with oci_server.client(signer=signer) as client:
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_revoked_key_is_refused(place: Place) -> None:
    """A key that has been deleted lets nobody in."""
    place.client.get_namespace()
    place.server.server.store.revoke(place.server.user.key_id)

    assert refused(place.client.get_namespace) == (401, "NotAuthenticated")


@pytest.mark.parametrize(("offset", "allowed"), [(-290, True), (290, True), (-310, False), (310, False)])
def test_clocks_may_differ_by_five_minutes(place: Place, offset: float, allowed: bool) -> None:
    """A request from more than five minutes away is refused, with what both clocks said."""
    place.server.server.store.clock_offset = offset
    if allowed:
        place.client.get_namespace()
    else:
        assert refused(place.client.get_namespace) == (401, "NotAuthenticated")


def test_reply_tells_the_servers_time(place: Place) -> None:
    """A client can learn by how much its clock is off."""
    import email.utils
    import time

    place.server.server.store.clock_offset = 200

    date = place.client.get_namespace().headers["date"]

    assert email.utils.parsedate_to_datetime(date).timestamp() - time.time() == pytest.approx(200, abs=5)


def test_session_token(oci_server: RunningOCI) -> None:
    """A session's key and token let in until they expire."""
    from oci.auth.signers import SecurityTokenSigner
    from oci.signer import load_private_key

    session = oci_server.server.authenticate(oci_server.user, seconds=60)
    signer = SecurityTokenSigner(session.token, load_private_key(session.private_key, None))
    with oci_server.client(signer=signer) as client:
        assert client.get_namespace().data == oci_server.namespace
        oci_server.server.store.clock_offset = 61
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_readonly_user_may_not_write(place: Place) -> None:
    """Who may only read is told that there is no such bucket when writing."""
    place.call("put_object", "a", b"1")
    with place.server.client(user=place.server.readonly) as client:
        assert client.get_object(place.namespace, place.bucket, "a").data.content == b"1"
        assert refused(client.put_object, place.namespace, place.bucket, "a", b"2") == (404, "BucketNotFound")
        assert refused(client.delete_object, place.namespace, place.bucket, "a") == (404, "BucketNotFound")


class TestByHand:
    """
    Requests that the official signer does not make.
    """

    def test_unsigned(self, place: Place) -> None:
        """Nobody is let in without a signature."""
        assert send(place, "GET", "/n", {"date": formatdate(usegmt=True)}) == 401

    def test_tampered_body(self, place: Place) -> None:
        """A body that is not the one signed is refused, and nothing is done."""
        body = b'{"name": "b", "compartmentId": "c"}'
        headers = signed(place, "POST", f"/n/{place.namespace}/b", body)

        assert send(place, "POST", f"/n/{place.namespace}/b", headers, body.replace(b'"b"', b'"d"')) == 401
        assert send(place, "POST", f"/n/{place.namespace}/b", headers, body) == 200
        assert "d" not in place.server.server.store.buckets

    @pytest.mark.parametrize("left_out", ["(request-target)", "host", "date"])
    def test_what_a_get_must_sign(self, place: Place, left_out: str) -> None:
        """A signature that leaves out what it must have is refused."""
        assert send(place, "GET", "/n", signed(place, "GET", "/n")) == 200
        assert send(place, "GET", "/n", signed(place, "GET", "/n", left_out=left_out)) == 401

    @pytest.mark.parametrize("left_out", ["content-length", "content-type", "x-content-sha256"])
    def test_what_a_post_must_sign(self, place: Place, left_out: str) -> None:
        """With a body, its headers must be signed too."""
        target, body = f"/n/{place.namespace}/b", b'{"name": "b", "compartmentId": "c"}'
        headers = signed(place, "POST", target, body, left_out=left_out)

        assert send(place, "POST", target, headers, body) == 401

    def test_body_of_an_object_need_not_be_signed(self, place: Place) -> None:
        """PutObject is signed like a GET; but a hash that is signed must be right."""
        target = f"/n/{place.namespace}/b/{place.bucket}/o/a"
        bare = signed(place, "PUT", target)
        whole = signed(place, "PUT", target, b"1")

        assert send(place, "PUT", target, {**bare, "content-length": "1"}, b"1") == 200
        assert send(place, "PUT", target, whole, b"1") == 200
        assert send(place, "PUT", target, whole, b"2") == 401

    def test_x_date_instead_of_date(self, place: Place) -> None:
        """A browser, which may not set Date, signs x-date; then Date does not count."""
        headers = signed(place, "GET", "/n", date_header="x-date")

        assert send(place, "GET", "/n", {**headers, "date": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 200

    @pytest.mark.parametrize(
        "change", [("rsa-sha256", "hmac-sha256"), ('version="1"', 'version="2"'), ("Signature ", "")]
    )
    def test_other_schemes_are_refused(self, place: Place, change: tuple[str, str]) -> None:
        """Only the one algorithm and version is known."""
        headers = signed(place, "GET", "/n")
        changed = headers["authorization"].replace(*change)

        assert changed != headers["authorization"]
        assert send(place, "GET", "/n", {**headers, "authorization": changed}) == 401

    def test_signature_is_of_the_path_and_query(self, place: Place) -> None:
        """A signature made for one request does not do for another."""
        headers = signed(place, "GET", f"/n/{place.namespace}/b/{place.bucket}/o?limit=1")

        assert send(place, "GET", f"/n/{place.namespace}/b/{place.bucket}/o?limit=1", headers) == 200
        assert send(place, "GET", f"/n/{place.namespace}/b/{place.bucket}/o?limit=2", headers) == 401


def signed(
    place: Place,
    method: str,
    target: str,
    body: bytes | None = None,
    *,
    left_out: str = "",
    date_header: str = "date",
) -> dict[str, str]:
    """
    Return headers with a signature, made apart from the code under test.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    host = place.server.server.url.removeprefix("http://")
    headers = {date_header: formatdate(usegmt=True), "host": host}
    names = [date_header, "(request-target)", "host"]
    if body is not None:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers.update(
            {"content-length": str(len(body)), "content-type": "application/json", "x-content-sha256": digest}
        )
        names += ["content-length", "content-type", "x-content-sha256"]
    names = [name for name in names if name != left_out]
    values = {**headers, "(request-target)": f"{method.lower()} {target}"}
    key: Any = load_pem_private_key(place.server.user.private_key.encode(), None)
    text = "\n".join(f"{name}: {values[name]}" for name in names)
    signature = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    fields = {
        "version": "1",
        "keyId": place.server.user.key_id,
        "algorithm": "rsa-sha256",
        "headers": " ".join(names),
        "signature": signature,
    }
    authorization = "Signature " + ",".join(f'{name}="{value}"' for name, value in fields.items())
    return {**headers, "authorization": authorization}


def send(place: Place, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> int:
    """
    Send a request as it is, and return the status of the reply.
    """
    connection = http.client.HTTPConnection("127.0.0.1", place.server.server.port, timeout=10)
    try:
        connection.request(method, target, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()

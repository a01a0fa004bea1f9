"""
Authentication: the official signer is accepted, and invalid signatures are refused.
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
    """A key that the server does not know is refused."""
    with oci_server.client(user=User.generate()) as client:
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_another_key_under_a_known_name_is_refused(oci_server: RunningOCI) -> None:
    """A signature is verified, not only the key id that it names."""
    from oci.signer import Signer

    known, other = oci_server.user, User.generate()
    signer = Signer(known.tenancy, known.user, known.fingerprint, "", private_key_content=other.private_key)
    with oci_server.client(signer=signer) as client:
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_revoked_key_is_refused(place: Place) -> None:
    """A deleted key is refused."""
    place.client.get_namespace()
    place.server.server.store.revoke(place.server.user.key_id)

    assert refused(place.client.get_namespace) == (401, "NotAuthenticated")


@pytest.mark.parametrize(("offset", "allowed"), [(-290, True), (290, True), (-310, False), (310, False)])
def test_clocks_may_differ_by_five_minutes(place: Place, offset: float, allowed: bool) -> None:
    """A clock skew of more than five minutes is refused."""
    place.server.server.store.clock_offset = offset
    if allowed:
        place.client.get_namespace()
    else:
        assert refused(place.client.get_namespace) == (401, "NotAuthenticated")


def test_reply_has_the_servers_time(place: Place) -> None:
    """A client can compute its clock skew from the Date header."""
    import email.utils
    import time

    place.server.server.store.clock_offset = 200

    date = place.client.get_namespace().headers["date"]

    assert email.utils.parsedate_to_datetime(date).timestamp() - time.time() == pytest.approx(200, abs=5)


def test_session_token(oci_server: RunningOCI) -> None:
    """A session's key and token work until they expire."""
    from oci.auth.signers import SecurityTokenSigner
    from oci.signer import load_private_key

    session = oci_server.server.authenticate(oci_server.user, seconds=60)
    signer = SecurityTokenSigner(session.token, load_private_key(session.private_key, None))
    with oci_server.client(signer=signer) as client:
        assert client.get_namespace().data == oci_server.namespace
        oci_server.server.store.clock_offset = 61
        assert refused(client.get_namespace) == (401, "NotAuthenticated")


def test_readonly_user_cannot_write(place: Place) -> None:
    """A read-only user who writes gets BucketNotFound."""
    place.call("put_object", "a", b"1")
    with place.server.client(user=place.server.readonly) as client:
        assert client.get_object(place.namespace, place.bucket, "a").data.content == b"1"
        assert refused(client.put_object, place.namespace, place.bucket, "a", b"2") == (404, "BucketNotFound")
        assert refused(client.delete_object, place.namespace, place.bucket, "a") == (404, "BucketNotFound")


class TestByHand:
    """
    Requests that the official signer does not create.
    """

    def test_unsigned(self, place: Place) -> None:
        """An unsigned request is refused."""
        assert send(place, "GET", "/n", {"date": formatdate(usegmt=True)}) == 401

    def test_tampered_body(self, place: Place) -> None:
        """A body that does not match its signature is refused, and nothing changes."""
        body = b'{"name": "b", "compartmentId": "c"}'
        headers = signed(place, "POST", f"/n/{place.namespace}/b", body)

        assert send(place, "POST", f"/n/{place.namespace}/b", headers, body.replace(b'"b"', b'"d"')) == 401
        assert send(place, "POST", f"/n/{place.namespace}/b", headers, body) == 200
        assert "d" not in place.server.server.store.buckets

    @pytest.mark.parametrize("left_out", ["(request-target)", "host", "date"])
    def test_what_a_get_must_sign(self, place: Place, left_out: str) -> None:
        """A signature that omits a required header is refused."""
        assert send(place, "GET", "/n", signed(place, "GET", "/n")) == 200
        assert send(place, "GET", "/n", signed(place, "GET", "/n", left_out=left_out)) == 401

    @pytest.mark.parametrize("left_out", ["content-length", "content-type", "x-content-sha256"])
    def test_what_a_post_must_sign(self, place: Place, left_out: str) -> None:
        """The headers of a body must be signed too."""
        target, body = f"/n/{place.namespace}/b", b'{"name": "b", "compartmentId": "c"}'
        headers = signed(place, "POST", target, body, left_out=left_out)

        assert send(place, "POST", target, headers, body) == 401

    def test_body_of_an_object_need_not_be_signed(self, place: Place) -> None:
        """PutObject can be signed without its body; but a signed hash must match."""
        target = f"/n/{place.namespace}/b/{place.bucket}/o/a"
        bare = signed(place, "PUT", target)
        whole = signed(place, "PUT", target, b"1")

        assert send(place, "PUT", target, {**bare, "content-length": "1"}, b"1") == 200
        assert send(place, "PUT", target, whole, b"1") == 200
        assert send(place, "PUT", target, whole, b"2") == 401

    def test_x_date_instead_of_date(self, place: Place) -> None:
        """A signed x-date is used instead of Date, which browsers cannot set."""
        headers = signed(place, "GET", "/n", date_header="x-date")

        assert send(place, "GET", "/n", {**headers, "date": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 200

    @pytest.mark.parametrize(
        "change", [("rsa-sha256", "hmac-sha256"), ('version="1"', 'version="2"'), ("Signature ", "")]
    )
    def test_other_schemes_are_refused(self, place: Place, change: tuple[str, str]) -> None:
        """Only one algorithm and version is accepted."""
        headers = signed(place, "GET", "/n")
        changed = headers["authorization"].replace(*change)

        assert changed != headers["authorization"]
        assert send(place, "GET", "/n", {**headers, "authorization": changed}) == 401

    def test_signature_covers_path_and_query(self, place: Place) -> None:
        """A signature for one request is not valid for another."""
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
    Return headers with a signature, computed independently of the code under test.
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
    Send a request unchanged; return the status of the reply.
    """
    connection = http.client.HTTPConnection("127.0.0.1", place.server.server.port, timeout=10)
    try:
        connection.request(method, target, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()

"""
Signatures for many requests that differ in method and path only.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from asyncstore.auth.sigv4 import ALGORITHM, AWSKeys, Scope, keyed_hash, sign_headers, timestamp


class SignatureSeries:
    """
    Signs requests to one host with the same headers, at half the cost.

    Whatever does not change within a second is put together once in a second;
    the result is that of :func:`~asyncstore.auth.sigv4.sign_headers`.

    Args:
        host: The value of the ``Host`` header.
        headers: The other headers to sign, with lower-case names and values as
            they are sent.
        payload_hash: SHA-256 of the body in hexadecimal, or what stands for it.
    """

    def __init__(
        self, host: str, headers: Mapping[str, str], *, keys: AWSKeys, scope: Scope, payload_hash: str
    ) -> None:
        self.keys = keys
        self._given = headers
        self._headers = [("host", host), *headers.items()]
        self._scope = scope
        self._payload_hash = payload_hash
        self._second = -1

    def sign(self, method: str, path: str, query: str, when: float) -> dict[str, str]:
        """
        Return all the headers, those that were given and those of the signature.

        Args:
            query: Percent-encoded and sorted by name, each with its ``=``.
        """
        second = int(when)
        if second != self._second:
            self._begin(second)
        digest = sha256(f"{method}\n{path}\n{query}\n{self._lines}".encode()).hexdigest()
        signature = self._key.hexdigest(f"{self._string}{digest}".encode())
        return {**self._added, "Authorization": self._authorization + signature}

    def _begin(self, second: int) -> None:
        # One real signature shows which headers are covered, and in which order.
        added = sign_headers(
            "GET",
            "/",
            "",
            self._headers,
            keys=self.keys,
            scope=self._scope,
            when=second,
            payload_hash=self._payload_hash,
        )
        self._authorization = added.pop("Authorization").rpartition("Signature=")[0] + "Signature="
        names = self._authorization.partition("SignedHeaders=")[2].partition(",")[0]
        values = {name.lower(): value for name, value in (*self._headers, *added.items())}
        covered = "\n".join([f"{name}:{' '.join(values[name].split())}" for name in names.split(";")])
        stamp = timestamp(second)
        where = f"{stamp[:8]}/{self._scope.region}/{self._scope.service}/aws4_request"
        self._lines = f"{covered}\n\n{names}\n{values['x-amz-content-sha256']}"
        self._string = f"{ALGORITHM}\n{stamp}\n{where}\n"
        self._key = keyed_hash(self.keys.secret_access_key, stamp[:8], self._scope.region, self._scope.service)
        self._added = {**self._given, **added}
        self._second = second

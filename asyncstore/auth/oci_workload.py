"""
Workload identity: the service account of a pod in an enhanced OKE cluster.

https://docs.oracle.com/iaas/Content/ContEng/Tasks/contenggrantingworkloadaccesstoresources.htm
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from pathlib import Path
from typing import Final

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.oci_session import KeyGrant, new_session_key, refused, session_grant
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"

#: Where the cluster gives session tokens.
PORT: Final = 12250

_MAX_TOKEN: Final = 16 * 1024
_MAX_PORT: Final = 65_535


class WorkloadIdentity:
    """
    Asks the cluster for a session token, over TLS that the cluster's own authority vouches for.

    Raises:
        ConfigurationError: The port is none.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        port = str(given.get("workload_identity_port") or PORT)
        if not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
            raise ConfigurationError(f"workload_identity_port is a port, not {port!r}")
        self._port = int(port)

    async def fetch(self) -> KeyGrant:
        """
        Return a new key with the token for it.

        Raises:
            MissingCredentialsError: This is no pod.
            UnauthenticatedError: The account is not accepted.
        """
        host = self._given.get("kubernetes_service_host")
        if not host:
            raise MissingCredentialsError("KUBERNETES_SERVICE_HOST is not set: this is no pod")
        host = f"[{host}]" if ":" in str(host) else str(host)
        account = await self._account()
        session, public = await new_session_key()
        answer = await self._service().send(
            "POST",
            f"https://{host}:{self._port}/resourcePrincipalSessionTokens",
            {
                "Authorization": f"Bearer {account}",
                "Content-Type": "application/json",
                "opc-request-id": uuid.uuid4().hex,
            },
            json.dumps({"podKey": public}).encode(),
            near=True,
        )
        if answer.status != 200:
            advice = "; only enhanced clusters know workloads" if answer.status == 403 else ""
            raise refused(answer, "gives no session token", advice)
        return session_grant(_token(answer), session, answer.clock_offset(), answer.place)

    def _service(self) -> TokenService:
        # Made for each request: the cluster can change its authority.
        authority = self._given.get("service_account_cert_file") or f"{_ACCOUNT}/ca.crt"
        return TokenService(HTTPOptions(ca_file=Path(str(authority)).expanduser()))

    async def _account(self) -> str:
        if "service_account_token" in self._given:
            token = await secret_text("service_account_token", self._given.get("service_account_token")) or ""
        else:
            # Read each time: the cluster replaces it.
            path = self._given.get("service_account_token_file") or f"{_ACCOUNT}/token"
            token = await in_thread(read_token_file, str(path), "the token of the service account", _MAX_TOKEN)
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError("the token of the service account is none")
        ends = expiry_of(token)
        if ends is not None and ends <= time.time():
            raise UnauthenticatedError("the token of the service account has ended", provider="oci")
        return token


def _token(answer: Answer) -> str:
    # The base64 of JSON, at times as a JSON text.
    try:
        document = json.loads(base64.b64decode(answer.text().strip('"'), validate=True))
    except (binascii.Error, ValueError):
        document = None
    token = document.get("token") if isinstance(document, dict) else None
    if not isinstance(token, str):
        raise UnavailableError(f"{answer.place} answers without a session token", provider="oci", status=answer.status)
    return token

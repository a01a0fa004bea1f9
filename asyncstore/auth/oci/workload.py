"""
Workload identity: session tokens for the service account of a pod in an enhanced OKE cluster.

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

from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.oci.session import KeyGrant, new_session_key, refused, session_grant
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import MissingCredentialsError, secret_text
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError

_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"

#: The port of the cluster's token service.
PORT: Final = 12250

_MAX_TOKEN: Final = 16 * 1024
_MAX_PORT: Final = 65_535


class WorkloadIdentity:
    """
    Requests session tokens from the cluster, over TLS with the cluster's own CA.

    Raises:
        ConfigurationError: The port is not valid.
    """

    def __init__(self, settings: MethodSettings) -> None:
        self._settings = settings
        port = str(settings.get("workload_identity_port") or PORT)
        if not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
            raise ConfigurationError(f"workload_identity_port must be a port number, not {port!r}")
        self._port = int(port)

    async def fetch(self) -> KeyGrant:
        """
        Return a new key with its session token.

        Raises:
            MissingCredentialsError: Not running in a Kubernetes pod.
            UnauthenticatedError: The cluster rejected the service account.
        """
        host = self._settings.get("kubernetes_service_host")
        if not host:
            raise MissingCredentialsError("KUBERNETES_SERVICE_HOST is not set: not running in a Kubernetes pod")
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
            advice = "; workload identity requires an enhanced cluster" if answer.status == 403 else ""
            raise refused(answer, "refused to issue a session token", advice)
        return session_grant(_token(answer), session, answer.clock_offset(), answer.place)

    def _service(self) -> TokenService:
        # Created for every request, because the cluster can replace its CA.
        authority = self._settings.get("service_account_cert_file") or f"{_ACCOUNT}/ca.crt"
        return TokenService(HTTPOptions(ca_file=Path(str(authority)).expanduser()))

    async def _account(self) -> str:
        if "service_account_token" in self._settings:
            token = await secret_text("service_account_token", self._settings.get("service_account_token")) or ""
        else:
            # Read every time, because the cluster replaces it.
            path = self._settings.get("service_account_token_file") or f"{_ACCOUNT}/token"
            token = await in_thread(read_token_file, str(path), "the token of the service account", _MAX_TOKEN)
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError("the token of the service account is empty or malformed")
        ends = expiry_of(token)
        if ends is not None and ends <= time.time():
            raise UnauthenticatedError("the token of the service account has expired", provider="oci")
        return token


def _token(answer: Answer) -> str:
    # Base64 of a JSON document, sometimes quoted as a JSON string.
    try:
        document = json.loads(base64.b64decode(answer.text().strip('"'), validate=True))
    except (binascii.Error, ValueError):
        document = None
    token = document.get("token") if isinstance(document, dict) else None
    if not isinstance(token, str):
        raise UnavailableError(
            f"the reply of {answer.place} has no session token", provider="oci", status=answer.status
        )
    return token

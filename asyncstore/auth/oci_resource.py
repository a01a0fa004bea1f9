"""
Resource principals: what OCI gives to functions, jobs and notebooks of its own.

https://docs.oracle.com/iaas/Content/API/Concepts/sdk_authentication_methods.htm
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import require_tls
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import MAX_FILE, read_token_file
from asyncstore.auth.method import GIVEN, Given
from asyncstore.auth.oci_session import PREFIX, KeyGrant, SignedRequests, file_grant, is_token, session_grant, token_of
from asyncstore.auth.oci_signature import OCIKeys, scheme
from asyncstore.auth.rsa_keys import load_rsa_key, public_key_text
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import TokenService
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_IN_PLACE: Final = "2.2"
_BY_SERVICE: Final = ("2.1", "2.1.1", "2.1.2")
VERSIONS: Final = (_IN_PLACE, *_BY_SERVICE)

_TOKEN_PATHS: Final = {
    "2.1": "/20180711/resourcePrincipalTokenV2",
    "2.1.1": "/20180711/resourcePrincipalTokenV2",
    "2.1.2": "/20180711/resourcePrincipalTokenV212",
}
_SESSION_PATH: Final = "/v1/resourcePrincipalSessionToken"

# What each version needs besides a private key.
_NEEDED: Final = {
    "2.2": ("session_token",),
    "2.1": ("rpt_endpoint", "rpst_endpoint", "resource_id"),
    "2.1.1": ("rpt_endpoint", "rpst_endpoint", "resource_id", "tenancy"),
    "2.1.2": ("rpt_endpoint", "rpst_endpoint", "resource_id", "tenancy"),
}


class ResourcePrincipal:
    """
    Reads a session token that is there, or asks two services for one.

    Values are read when they are needed: those that are absolute paths name files that
    OCI replaces in time.

    Raises:
        ConfigurationError: An address is plain HTTP to another host, or the version is unknown.
    """

    def __init__(self, given: Given, service: TokenService, *, allow_http: bool) -> None:
        self._given = given
        self._requests = SignedRequests(service)
        self._allow_http = allow_http
        if "resource_principal_version" in given.settings:
            self._version()
        for name in ("rpt_endpoint", "rpst_endpoint"):
            if name in given.settings:
                self._endpoint(name)

    async def fetch(self) -> KeyGrant:
        """
        Return the private key with the session token for it.

        Raises:
            MissingCredentialsError: Nothing says that this is such a resource.
            UnauthenticatedError: The token has ended, or the service gives none.
        """
        version = self._version()
        if missing := [name for name in (*_NEEDED[version], "private_key") if not self._given.get(name)]:
            raise ConfigurationError(
                f"a resource principal of version {version} needs {' and '.join(map(self._named, missing))}"
            )
        passphrase = await self._secret("pass_phrase")
        pem = await self._secret("private_key") or ""
        key = await in_thread(_parsed, pem, passphrase)
        return await (self._in_place(key) if version == _IN_PLACE else self._by_service(version, key))

    async def _in_place(self, key: RSAPrivateKey) -> KeyGrant:
        token = (await self._secret("session_token") or "").removeprefix(PREFIX)
        if not is_token(token):
            raise ConfigurationError("the session token of the resource principal is no token")
        ends = expiry_of(token)
        ttl = None if ends is None else ends - time.time()
        if ttl is not None and ttl <= 0:
            raise UnauthenticatedError(
                "the session token of the resource principal has ended, and no other has taken its place",
                provider="oci",
            )
        return file_grant(OCIKeys(PREFIX + token, key), ttl)

    async def _by_service(self, version: str, key: RSAPrivateKey) -> KeyGrant:
        resource, tenancy = str(self._given.get("resource_id")), str(self._given.get("tenancy"))
        whose = resource if version == "2.1" else f"{tenancy}/{resource}"
        keys = OCIKeys(f"resource/v{version}/{whose}", key)
        context = await self._secret("security_context") if version == "2.1.2" else None
        answer = await self._requests.send(
            "GET",
            self._endpoint("rpt_endpoint") + self._path(version, resource),
            keys,
            headers={"security-context": context} if context else None,
        )
        request = {
            "resourcePrincipalToken": token_of(answer, "resourcePrincipalToken"),
            "servicePrincipalSessionToken": token_of(answer, "servicePrincipalSessionToken"),
            "sessionPublicKey": public_key_text(key),
        }
        answer = await self._requests.send("POST", self._endpoint("rpst_endpoint") + _SESSION_PATH, keys, request)
        return session_grant(token_of(answer), key, answer.clock_offset(), answer.place)

    def _path(self, version: str, resource: str) -> str:
        path = self._given.get("rpt_path") if version == "2.1.2" else None
        path = str(path or _TOKEN_PATHS[version])
        name = quote(resource, safe="")
        return path.removesuffix("{}") + name if path.endswith("{}") else f"{path.rstrip('/')}/{name}"

    def _endpoint(self, name: str) -> str:
        url = str(self._given.get(name)).rstrip("/")
        require_tls(url, allow_http=self._allow_http)
        return url

    def _version(self) -> str:
        version = self._given.get("resource_principal_version")
        if version is None and "session_token" in self._given.settings:
            return _IN_PLACE
        if version is None:
            raise MissingCredentialsError("OCI_RESOURCE_PRINCIPAL_VERSION is not set")
        if str(version) not in VERSIONS:
            raise ConfigurationError(
                f"resource_principal_version is one of {', '.join(VERSIONS)}, not {str(version)[:20]!r}"
            )
        return str(version)

    async def _secret(self, name: str) -> str | None:
        text = await secret_text(name, self._given.get(name))
        if text is not None and Path(text).is_absolute():
            return await in_thread(read_token_file, text, f"the {name} of the resource principal", MAX_FILE)
        return text.strip() if text is not None else None

    def _named(self, name: str) -> str:
        setting = next(setting for setting in self._given.declared if setting.name == name)
        return " or ".join((*setting.variables, f"{name} in the {GIVEN}"))


def _parsed(pem: str, passphrase: str | None) -> RSAPrivateKey:
    scheme()
    return load_rsa_key(pem.encode(), passphrase, "the private_key of the resource principal", extra="oci")

"""
Resource principals: the identity of functions, jobs and notebooks that OCI runs.

https://docs.oracle.com/iaas/Content/API/Concepts/sdk_authentication_methods.htm
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import MAX_FILE, read_token_file
from asyncstore.auth.methods import SETTINGS_SOURCE, MethodSettings
from asyncstore.auth.oci.session import PREFIX, KeyGrant, SignedRequests, file_grant, is_token, session_grant, token_of
from asyncstore.auth.oci.signature import OCIKeys, scheme
from asyncstore.auth.rsa_keys import load_rsa_key, public_key_text
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import MissingCredentialsError, secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.http.origin import require_tls

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_IN_PLACE: Final = "2.2"
VERSIONS: Final = (_IN_PLACE, "2.1", "2.1.1", "2.1.2")

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
    Reads a session token (version 2.2), or requests one from two services (versions 2.1).

    Values are read for every token: absolute paths name files that OCI replaces.

    Raises:
        ConfigurationError: An address is plain HTTP to another host, or the version is unknown.
    """

    def __init__(self, settings: MethodSettings, service: TokenService, *, allow_http: bool) -> None:
        self._settings = settings
        self._requests = SignedRequests(service)
        self._allow_http = allow_http
        if "resource_principal_version" in settings.explicit:
            self._version()
        for name in ("rpt_endpoint", "rpst_endpoint"):
            if name in settings.explicit:
                self._endpoint(name)

    async def fetch(self) -> KeyGrant:
        """
        Return the private key with its session token.

        Raises:
            MissingCredentialsError: No resource principal is configured.
            UnauthenticatedError: The token has expired, or the service refused to issue one.
        """
        version = self._version()
        if missing := [name for name in (*_NEEDED[version], "private_key") if not self._settings.get(name)]:
            raise ConfigurationError(
                f"a resource principal of version {version} needs {' and '.join(map(self._names_of, missing))}"
            )
        passphrase = await self._secret("pass_phrase")
        pem = await self._secret("private_key") or ""
        key = await in_thread(_parsed, pem, passphrase)
        return await (self._read_token(key) if version == _IN_PLACE else self._request_token(version, key))

    async def _read_token(self, key: RSAPrivateKey) -> KeyGrant:
        token = (await self._secret("session_token") or "").removeprefix(PREFIX)
        if not is_token(token):
            raise ConfigurationError("the session token of the resource principal is malformed")
        ends = expiry_of(token)
        ttl = None if ends is None else ends - time.time()
        if ttl is not None and ttl <= 0:
            raise UnauthenticatedError(
                "the session token of the resource principal has expired and has not been replaced",
                provider="oci",
            )
        return file_grant(OCIKeys(PREFIX + token, key), ttl)

    async def _request_token(self, version: str, key: RSAPrivateKey) -> KeyGrant:
        resource, tenancy = str(self._settings.get("resource_id")), str(self._settings.get("tenancy"))
        owner = resource if version == "2.1" else f"{tenancy}/{resource}"
        keys = OCIKeys(f"resource/v{version}/{owner}", key)
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
        path = self._settings.get("rpt_path") if version == "2.1.2" else None
        path = str(path or _TOKEN_PATHS[version])
        name = quote(resource, safe="")
        return path.removesuffix("{}") + name if path.endswith("{}") else f"{path.rstrip('/')}/{name}"

    def _endpoint(self, name: str) -> str:
        url = str(self._settings.get(name)).rstrip("/")
        require_tls(url, allow_http=self._allow_http)
        return url

    def _version(self) -> str:
        version = self._settings.get("resource_principal_version")
        if version is None and "session_token" in self._settings.explicit:
            return _IN_PLACE
        if version is None:
            raise MissingCredentialsError("OCI_RESOURCE_PRINCIPAL_VERSION is not set")
        if str(version) not in VERSIONS:
            raise ConfigurationError(
                f"resource_principal_version must be one of {', '.join(VERSIONS)}, not {str(version)[:20]!r}"
            )
        return str(version)

    async def _secret(self, name: str) -> str | None:
        text = await secret_text(name, self._settings.get(name))
        if text is not None and Path(text).is_absolute():
            return await in_thread(read_token_file, text, f"the {name} of the resource principal", MAX_FILE)
        return text.strip() if text is not None else None

    def _names_of(self, name: str) -> str:
        setting = next(setting for setting in self._settings.declared if setting.name == name)
        return " or ".join((*setting.variables, f"{name} in the {SETTINGS_SOURCE}"))


def _parsed(pem: str, passphrase: str | None) -> RSAPrivateKey:
    scheme()
    return load_rsa_key(pem.encode(), passphrase, "the private_key of the resource principal", extra="oci")

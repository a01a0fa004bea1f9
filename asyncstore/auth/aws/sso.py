"""
Keys of a role for a user who is signed in with ``aws sso login``.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.configuration import Configuration
from asyncstore.auth.aws.document import KeyGrant
from asyncstore.auth.aws.endpoints import service_address
from asyncstore.auth.aws.files import SharedFiles, read_files
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.aws.token_cache import StoredToken, read_token, renewed_by_another, seconds_left, store_token
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import EARLY, Grant
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_LOGIN: Final = "run aws sso login"

# What `aws sso login` stores besides the token if the token can be refreshed.
_REFRESHABLE: Final = ("refreshToken", "clientId", "clientSecret")


@dataclass(frozen=True, slots=True)
class _SignOn:
    """
    Attributes:
        name: The token file is named after it.
        portal: The URL at which the token is exchanged for keys.
        refresher: The URL at which the token is refreshed.
    """

    name: str
    account: str
    role: str
    portal: str
    refresher: str


class SingleSignOn:
    """
    Exchanges the token of a sign-on for keys, and refreshes the token if possible.

    Args:
        profile: Names the sign-on, the account and the role.
    """

    def __init__(self, profile: str, service: TokenService) -> None:
        self._profile = profile
        self._service = service

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.

        Raises:
            ConfigurationError: The profile lacks a setting.
            UnauthenticatedError: The user is not signed in, or the sign-on has expired.
            UnavailableError: The service did not answer, or failed.
        """
        sign_on = await in_thread(self._read)
        token = await self._token(sign_on)
        answer = await self._exchanged(sign_on, token)
        if answer.status == 401 and (other := await _other(sign_on, token)) is not None:
            # Somebody has signed in again.
            answer = await self._exchanged(sign_on, other)
        if answer.status == 401:
            raise UnauthenticatedError(f"the sign-on {sign_on.name!r} has expired or was revoked: {_LOGIN}", status=401)
        if answer.status != 200:
            raise _refused(answer, "issued no keys")
        return _granted(answer.document().get("roleCredentials"))

    async def _exchanged(self, sign_on: _SignOn, token: str) -> Answer:
        query = urlencode({"role_name": sign_on.role, "account_id": sign_on.account})
        url = f"{sign_on.portal}/federation/credentials?{query}"
        return await self._service.send("GET", url, {"x-amz-sso_bearer_token": token})

    def _read(self) -> _SignOn:
        files = read_files()
        profile = files.profile(self._profile)
        session = _session(files, profile.get("sso_session"))
        merged = {**profile, **session}
        needed = ("sso_account_id", "sso_role_name", "sso_region", "sso_start_url")
        if missing := [name for name in needed if not merged.get(name)]:
            raise ConfigurationError(f"AWS profile {self._profile!r} needs {', '.join(missing)} for single sign-on")
        account, role, region, start_url = (merged[name] for name in needed)
        configuration = Configuration(self._profile, files)
        return _SignOn(
            profile.get("sso_session") or start_url,
            account,
            role,
            portal=service_address("sso", region, configuration),
            refresher=service_address("sso-oidc", region, configuration),
        )

    async def _token(self, sign_on: _SignOn) -> str:
        stored = await in_thread(_read_token, sign_on.name)
        token, left = str(stored.document["accessToken"]), _left(stored.document.get("expiresAt"))
        if left > EARLY:
            return token
        if not _is_refreshable(stored.document):
            if left > 0:
                return token
            raise UnauthenticatedError(f"the sign-on {sign_on.name!r} has expired: {_LOGIN}")
        try:
            return await self._refreshed(sign_on, stored)
        except (UnauthenticatedError, UnavailableError) as exc:
            # Refresh tokens are good for one use, and another process may have been faster.
            if isinstance(exc, UnauthenticatedError):
                other = await renewed_by_another(lambda: _other(sign_on, token), patient=left <= 0)
                if other is not None:
                    return other
            if left > 0:
                return token
            raise

    async def _refreshed(self, sign_on: _SignOn, stored: StoredToken) -> str:
        # https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html
        body = {name: stored.document[name] for name in _REFRESHABLE} | {"grantType": "refresh_token"}
        headers = {"Content-Type": "application/json"}
        answer = await self._service.send("POST", f"{sign_on.refresher}/token", headers, json.dumps(body).encode())
        if answer.status != 200:
            raise _refused(answer, f"did not refresh the sign-on {sign_on.name!r}: {_LOGIN}")
        issued = answer.document()
        token, seconds = issued.get("accessToken"), issued.get("expiresIn")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise UnauthenticatedError("the sign-on service returned no token")
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        document = {**stored.document, "accessToken": token, "expiresAt": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if isinstance(issued.get("refreshToken"), str):
            document["refreshToken"] = issued["refreshToken"]
        await in_thread(store_token, stored.file, document)
        return token


def _session(files: SharedFiles, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    if name not in files.sessions:
        raise ConfigurationError(f"sso-session {name!r} does not exist; known are {sorted(files.sessions)}")
    return dict(files.sessions[name])


def _read_token(name: str) -> StoredToken:
    # The file name that the CLI uses.
    digest = sha1(name.encode(), usedforsecurity=False).hexdigest()
    file = Path("~/.aws/sso/cache").expanduser() / f"{digest}.json"
    if not file.exists():
        raise UnauthenticatedError(f"not signed in to {name!r}: {_LOGIN}")
    stored = read_token(file, "sign-on token", _LOGIN)
    if not isinstance(stored.document.get("accessToken"), str):
        raise UnauthenticatedError(f"{file} does not hold a sign-on token: {_LOGIN}")
    return stored


async def _other(sign_on: _SignOn, refused: str) -> str | None:
    stored = await in_thread(_read_token, sign_on.name)
    token = str(stored.document["accessToken"])
    return token if token != refused and _left(stored.document.get("expiresAt")) > 0 else None


def _is_refreshable(document: dict[str, Any]) -> bool:
    if not all(isinstance(document.get(name), str) for name in _REFRESHABLE):
        return False
    end = document.get("registrationExpiresAt")
    return end is None or _left(end) > 0


def _left(end: Any) -> float:
    return seconds_left(end, "the sign-on token file")


def _granted(document: Any) -> KeyGrant:
    document = document if isinstance(document, dict) else {}
    key_id, secret, session = (document.get(name) for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
    end = document.get("expiration")
    if not isinstance(key_id, str) or not isinstance(secret, str) or not isinstance(end, int):
        raise UnauthenticatedError("the sign-on portal returned no accessKeyId, secretAccessKey and expiration")
    ttl = end / 1000 - datetime.now(UTC).timestamp()
    return Grant(AWSKeys(key_id, secret, session if isinstance(session, str) else None), ttl)


def _refused(answer: Answer, what: str) -> StorageError:
    code = answer.document().get("error") or answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    code = code if isinstance(code, str) and code.isidentifier() else None
    request_id = answer.headers.get("x-amzn-requestid")
    return answer.refusal(f"{answer.place} {what}", provider="s3", code=code, request_id=request_id)

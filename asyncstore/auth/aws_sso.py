"""
Keys of a role for whoever has signed in with ``aws sso login``.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-sso-credentials.html
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from asyncstore.auth.aws_document import KeyGrant, seconds_until
from asyncstore.auth.aws_endpoints import service_address
from asyncstore.auth.aws_files import SharedFiles, read_files
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import EARLY, Grant
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

_LOGIN: Final = "run aws sso login"

# What `aws sso login` leaves besides the token, if it can be renewed.
_RENEWABLE: Final = ("refreshToken", "clientId", "clientSecret")


@dataclass(frozen=True, slots=True)
class _SignOn:
    """
    Attributes:
        name: What the file of its token is named after.
        portal: Where it is traded for keys.
        renewal: Where it is renewed.
    """

    name: str
    account: str
    role: str
    portal: str
    renewal: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """What `aws sso login` left in *file*."""

    file: Path
    document: dict[str, Any] = field(repr=False)


class SingleSignOn:
    """
    Trades the token of a sign-on for keys, and renews it where that is possible.

    Args:
        profile: Which names the sign-on, the account and the role.
    """

    def __init__(self, profile: str, service: TokenService) -> None:
        self._profile = profile
        self._service = service

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.

        Raises:
            ConfigurationError: The profile does not say all that it has to.
            UnauthenticatedError: Nobody has signed in, or that has ended.
            UnavailableError: There was no answer, or one of a service in trouble.
        """
        sign_on = await in_thread(self._read)
        token = await self._token(sign_on)
        query = urlencode({"role_name": sign_on.role, "account_id": sign_on.account})
        url = f"{sign_on.portal}/federation/credentials?{query}"
        answer = await self._service.send("GET", url, {"x-amz-sso_bearer_token": token})
        if answer.status == 401:
            raise UnauthenticatedError(f"the sign-on {sign_on.name!r} is not taken any more: {_LOGIN}", status=401)
        if answer.status != 200:
            raise _refused(answer, "gives no keys")
        return _granted(answer.document().get("roleCredentials"))

    def _read(self) -> _SignOn:
        files = read_files()
        profile = files.profile(self._profile)
        session = _session(files, profile.get("sso_session"))
        merged = {**profile, **session}
        needed = ("sso_account_id", "sso_role_name", "sso_region", "sso_start_url")
        if missing := [name for name in needed if not merged.get(name)]:
            raise ConfigurationError(f"AWS profile {self._profile!r} has no sign-on without {' and '.join(missing)}")
        account, role, region, start_url = (merged[name] for name in needed)
        return _SignOn(
            profile.get("sso_session") or start_url,
            account,
            role,
            portal=service_address("sso", "portal.sso", region, files.endpoint(profile, "sso")),
            renewal=service_address("sso-oidc", "oidc", region, files.endpoint(profile, "sso-oidc")),
        )

    async def _token(self, sign_on: _SignOn) -> str:
        kept = await in_thread(_read_token, sign_on.name)
        token, left = str(kept.document["accessToken"]), _left(kept.document.get("expiresAt"))
        if left > EARLY:
            return token
        if not _renewable(kept.document):
            if left > 0:
                return token
            raise UnauthenticatedError(f"the sign-on {sign_on.name!r} has expired: {_LOGIN}")
        try:
            return await self._renewed(sign_on, kept)
        except (UnauthenticatedError, UnavailableError):
            if left > 0:
                return token
            raise

    async def _renewed(self, sign_on: _SignOn, kept: _Kept) -> str:
        # https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html
        asked = {name: kept.document[name] for name in _RENEWABLE} | {"grantType": "refresh_token"}
        headers = {"Content-Type": "application/json"}
        answer = await self._service.send("POST", f"{sign_on.renewal}/token", headers, json.dumps(asked).encode())
        if answer.status != 200:
            raise _refused(answer, f"does not renew the sign-on {sign_on.name!r}: {_LOGIN}")
        given = answer.document()
        token, seconds = given.get("accessToken"), given.get("expiresIn")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise UnauthenticatedError("the service of the sign-on gave no token")
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        document = {**kept.document, "accessToken": token, "expiresAt": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if isinstance(given.get("refreshToken"), str):
            document["refreshToken"] = given["refreshToken"]
        await in_thread(_keep, kept.file, document)
        return token


def _session(files: SharedFiles, name: str | None) -> dict[str, str]:
    if name is None:
        return {}
    if name not in files.sessions:
        raise ConfigurationError(f"there is no sso-session {name!r}; there are {sorted(files.sessions)}")
    return dict(files.sessions[name])


def _read_token(name: str) -> _Kept:
    # As the CLI names its files.
    digest = sha1(name.encode(), usedforsecurity=False).hexdigest()
    file = Path("~/.aws/sso/cache").expanduser() / f"{digest}.json"
    if not file.exists():
        raise UnauthenticatedError(f"nobody has signed in to {name!r}: {_LOGIN}")
    content = read_key_file(file, "token of a sign-on")
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("accessToken"), str):
        raise UnauthenticatedError(f"{file} holds no token of a sign-on: {_LOGIN}")
    return _Kept(file, document)


def _renewable(document: dict[str, Any]) -> bool:
    if not all(isinstance(document.get(name), str) for name in _RENEWABLE):
        return False
    end = document.get("registrationExpiresAt")
    return end is None or _left(end) > 0


def _left(end: Any) -> float:
    # Older programs write UTC in place of Z.
    text = end.replace("UTC", "Z") if isinstance(end, str) else end
    return seconds_until(text, "the file of the sign-on") or 0.0


def _keep(file: Path, document: dict[str, Any]) -> None:
    # For its owner only, and never half of it; other programs read it at any time.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(document, opened)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _granted(given: Any) -> KeyGrant:
    given = given if isinstance(given, dict) else {}
    key_id, secret, session = (given.get(name) for name in ("accessKeyId", "secretAccessKey", "sessionToken"))
    end = given.get("expiration")
    if not isinstance(key_id, str) or not isinstance(secret, str) or not isinstance(end, int):
        raise UnauthenticatedError("the portal of the sign-on gave no accessKeyId, secretAccessKey and expiration")
    ttl = end / 1000 - datetime.now(UTC).timestamp()
    return Grant(AWSKeys(key_id, secret, session if isinstance(session, str) else None), ttl)


def _refused(answer: Answer, what: str) -> StorageError:
    kind = UnavailableError if answer.passing else UnauthenticatedError
    said = answer.document().get("error") or answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    return kind(
        f"{answer.place} {what}",
        provider="s3",
        code=said if isinstance(said, str) and said.isidentifier() else None,
        status=answer.status,
        request_id=answer.headers.get("x-amzn-requestid"),
    )

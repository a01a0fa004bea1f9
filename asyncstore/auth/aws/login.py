"""
Keys of a user who is signed in with ``aws login``.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-login-credentials.html
"""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.configuration import SharedConfiguration
from asyncstore.auth.aws.document import KeyGrant
from asyncstore.auth.aws.endpoints import sign_in_address
from asyncstore.auth.aws.files import read_files
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.aws.token_cache import StoredToken, read_token, renewed_by_another, seconds_left, store_token
from asyncstore.auth.json_web_token import base64url, unsigned_token
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import EARLY, Grant
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError

_LOGIN: Final = "run aws login"
_WHAT: Final = "session of aws login"
_KEYS: Final = ("accessKeyId", "secretAccessKey", "sessionToken")

# What a session needs to be refreshed.
_REFRESHABLE: Final = ("refreshToken", "dpopKey", "clientId")


@dataclass(frozen=True, slots=True)
class _Session:
    """The session in a file, with its keys and the seconds for which they are valid."""

    stored: StoredToken
    keys: AWSKeys = field(repr=False)
    left: float

    @property
    def grant(self) -> KeyGrant:
        return Grant(self.keys, self.left)


class LoginSession:
    """
    Reads the keys of a session, and refreshes them with the proof of possession that the session is bound to.

    Args:
        settings: Name the profile, which names the session.
        region: Of the service that refreshes it; ``None`` leaves that to the profile.
    """

    def __init__(
        self,
        settings: MethodSettings,
        region: str | None,
        service: TokenService,
        configuration: SharedConfiguration,
    ) -> None:
        self._settings = settings
        self._region = region
        self._service = service
        self._configuration = configuration
        self._issued: AWSKeys | None = None

    async def fetch(self) -> KeyGrant:
        """
        Return the keys of the session, refreshed if they expire within five minutes.

        Raises:
            ConfigurationError: The profile names no session, or no region is known.
            UnauthenticatedError: The user is not signed in, or the session has expired.
            UnavailableError: The service did not answer, or failed.
        """
        grant = await self._find()
        self._issued = grant.value
        return grant

    async def _find(self) -> KeyGrant:
        session = await in_thread(self._read)
        # A second request for keys that are still valid means that AWS rejected them.
        if session.left > EARLY and session.keys != self._issued:
            return session.grant
        try:
            return await self._refreshed(session)
        except (UnauthenticatedError, UnavailableError) as exc:
            valid = session.left > 0
            if isinstance(exc, UnauthenticatedError):
                other = await renewed_by_another(lambda: self._other(session), patient=not valid)
                if other is not None:
                    return other.grant
            if valid:
                return session.grant
            raise

    @property
    def _profile(self) -> str:
        return self._settings.get("profile") or "default"

    def _read(self) -> _Session:
        name = read_files().profile(self._profile).get("login_session")
        if not name:
            raise ConfigurationError(f"AWS profile {self._profile!r} has no login_session: {_LOGIN}")
        stored = read_token(_directory() / f"{sha256(name.encode()).hexdigest()}.json", _WHAT, _LOGIN)
        token = stored.document.get("accessToken")
        token = token if isinstance(token, dict) else {}
        return _Session(stored, _keys(token, str(stored.file)), seconds_left(token.get("expiresAt"), str(stored.file)))

    async def _other(self, refused: _Session) -> _Session | None:
        found = await in_thread(self._read)
        return found if found.keys != refused.keys and found.left > 0 else None

    async def _refreshed(self, session: _Session) -> KeyGrant:
        document = session.stored.document
        if missing := [name for name in _REFRESHABLE if not isinstance(document.get(name), str)]:
            raise UnauthenticatedError(f"{session.stored.file} has no {' and '.join(missing)}: {_LOGIN}")
        url = f"{await self._address()}/v1/token"
        body = {name: document[name] for name in ("clientId", "refreshToken")} | {"grantType": "refresh_token"}
        headers = {"Content-Type": "application/json", "DPoP": _proof(document["dpopKey"], url)}
        answer = await self._service.send("POST", url, headers, json.dumps(body).encode())
        issued = answer.document()
        if answer.status != 200:
            code = issued.get("error")
            raise answer.refusal(
                f"{answer.place} did not refresh the {_WHAT}: {_LOGIN}",
                provider="s3",
                code=code,
                message=issued.get("message"),
                secrets=[document["refreshToken"]],
                request_id=answer.headers.get("x-amzn-requestid"),
            )
        token, seconds, refresh = (issued.get(name) for name in ("accessToken", "expiresIn", "refreshToken"))
        if not isinstance(token, dict) or not isinstance(seconds, int) or not isinstance(refresh, str):
            raise UnauthenticatedError(f"{answer.place} returned no accessToken, expiresIn and refreshToken")
        keys = _keys(token, answer.place)
        end = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        renewed = {**document["accessToken"], **{name: token[name] for name in _KEYS}, "expiresAt": end}
        new = {**document, "accessToken": renewed, "refreshToken": refresh}
        await in_thread(store_token, session.stored.file, new)
        return Grant(keys, seconds)

    async def _address(self) -> str:
        configuration = await self._configuration.get()
        region = self._region or configuration.text("region")
        if region is None:
            raise ConfigurationError(f"the {_WHAT} of profile {self._profile!r} needs a region: set one")
        return sign_in_address(region, configuration)


def _directory() -> Path:
    named = os.environ.get("AWS_LOGIN_CACHE_DIRECTORY")
    return Path(os.path.expandvars(named) if named else "~/.aws/login/cache").expanduser()


def _keys(token: dict[str, Any], where: str) -> AWSKeys:
    values = [token.get(name) for name in _KEYS]
    key_id, secret, session = (value if isinstance(value, str) and value else None for value in values)
    if key_id is None or secret is None or session is None:
        raise UnauthenticatedError(f"{where} has no {', '.join(_KEYS)}: {_LOGIN}")
    return AWSKeys(key_id, secret, session)


def _proof(pem: str, url: str) -> str:
    """
    Return the proof that the sender of a request to *url* has the key that the session is bound to.

    https://www.rfc-editor.org/rfc/rfc9449
    """
    # Imported here: few programs sign in this way.
    from awscrt.crypto import EC

    lines = [line for line in pem.splitlines() if not line.startswith("-----")]
    try:
        key = EC.new_key_from_der_data(base64.b64decode("".join(lines), validate=True))
    except (RuntimeError, ValueError):
        raise UnauthenticatedError(f"the key of the {_WHAT} cannot be read: {_LOGIN}") from None
    coordinates = zip("xy", key.get_public_coords(), strict=True)
    public = {name: base64url(value) for name, value in coordinates} | {"kty": "EC", "crv": "P-256"}
    claims = {"htm": "POST", "htu": url, "iat": int(time.time()), "jti": str(uuid.uuid4())}
    text = unsigned_token({"typ": "dpop+jwt", "alg": "ES256", "jwk": public}, claims)
    signature = EC.decode_der_signature_to_padded_pair(key.sign(sha256(text.encode("ascii")).digest()), pad_to=32)
    return f"{text}.{base64url(signature)}"

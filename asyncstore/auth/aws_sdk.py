"""
AWS credentials by the SDK's own resolvers: what the shared files say, single sign-on included.

aiobotocore reads files, loads its service models and builds TLS contexts where
it stands. So all of it runs in a worker thread, on an event loop of its own, and
ours never waits. It happens about once an hour.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.aws_document import KeyGrant
from asyncstore.auth.aws_sdk_errors import hush, storage_error
from asyncstore.auth.aws_sdk_thread import Abandonment, on_own_loop
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import require_tls
from asyncstore.auth.key_files import warn_if_shared
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.threads import in_thread

#: Seconds for one resolution; a ``credential_process`` that takes longer is killed.
TIMEOUT: Final = 50.0

# The SDK's names of the methods that each of ours is made of.
_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "profile": (
        "assume-role",
        "assume-role-with-web-identity",
        "sso",
        "shared-credentials-file",
        "login",
        "custom-process",
        "config-file",
    ),
    "sso": ("sso",),
}


#: Asks a service of the machine itself for keys.
Service = Callable[[], Awaitable[KeyGrant]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What to look for.

    Attributes:
        auth_type: ``"profile"`` or ``"sso"``.
        profile: Name of a profile. Without it the variables of a web identity count, too.
        region: Where the token service is asked.
        mfa_token: A function that gives the code of an MFA device.
        services: Those of the machine itself, by the names that ``credential_source``
            of a profile has for them. The SDK's own would ask them through a proxy.
        http: Whom to trust, and which proxy to use; variables for that are not read.
    """

    auth_type: str
    profile: str | None = None
    region: str | None = None
    mfa_token: Any = field(default=None, repr=False)
    services: Mapping[str, Service] = field(default_factory=dict, repr=False)
    http: HTTPOptions = field(default_factory=HTTPOptions)


@dataclass(frozen=True, slots=True)
class Found:
    """
    Keys, the seconds that they last (``None``: for good) and the SDK's name of the method.
    """

    keys: AWSKeys = field(repr=False)
    ttl: float | None
    method: str


async def find_keys(wanted: Wanted) -> Found:
    """
    Ask the SDK for credentials.

    Raises:
        ConfigurationError: The SDK is not installed, or a setting is wrong.
        UnauthenticatedError: There are none, or the provider refuses them.
        UnavailableError: A service that gives them cannot be reached.
    """
    loop = asyncio.get_running_loop()
    abandonment = Abandonment()

    def prompt(_: str) -> str:
        if wanted.mfa_token is None:
            raise ConfigurationError(
                "this AWS profile asks for an MFA code, and a library has nobody to ask: set mfa_token to a function "
                "that gives it, or use SSO"
            )
        # The function belongs to the caller's loop; this is another thread, which can wait.
        asking = asyncio.run_coroutine_threadsafe(secret_text("mfa_token", wanted.mfa_token), loop)
        abandonment.stops(asking.cancel)
        try:
            return asking.result(TIMEOUT) or ""
        finally:
            asking.cancel()

    return await on_own_loop(partial(_named, wanted, prompt), abandonment)


async def require_files() -> None:
    """
    Check that there is something that profiles can be read from.

    Raises:
        MissingCredentialsError: There is neither a shared file nor ``AWS_PROFILE``.
    """
    if not os.environ.get("AWS_PROFILE") and not await in_thread(_exist, *_files()):
        raise MissingCredentialsError(f"there is no {' and no '.join(map(str, _files()))}")


def _files() -> tuple[Path, Path]:
    config = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"), Path(config)


def _exist(*files: Path) -> bool:
    return any(file.expanduser().is_file() for file in files)


async def _named(wanted: Wanted, prompt: Callable[[str], str]) -> Found:
    what = f"auth_type {wanted.auth_type!r}"
    try:
        import aiobotocore  # noqa: F401
    except ImportError:
        raise ConfigurationError(f"{what} needs aiobotocore: pip install 'asyncstore[s3]'") from None
    error: StorageError
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _find_keys(wanted, prompt)
    except (StorageError, asyncio.CancelledError):
        raise
    except Exception as exc:  # noqa: BLE001 - the SDK raises anything, with requests and secrets in it
        error = storage_error(exc, what)
    raise error


async def _find_keys(wanted: Wanted, prompt: Callable[[str], str]) -> Found:
    warn_if_shared(_files()[0])
    session = _session(wanted)
    resolver = session.get_component("credential_provider")
    resolver.providers = [item for item in resolver.providers if item.METHOD in _METHODS[wanted.auth_type]]
    for item in resolver.providers:
        if item.METHOD == "assume-role":
            item._prompter = prompt
            item._credential_sourcer._providers = _sources(item._credential_sourcer._providers, wanted)
    credentials = await resolver.load_credentials()
    if credentials is None:
        raise MissingCredentialsError(f"no AWS credentials: {_tried(resolver, wanted)}")
    # What is not ours to decide: how long before their end they are renewed.
    credentials._advisory_refresh_timeout = credentials._mandatory_refresh_timeout = 0
    frozen = await credentials.get_frozen_credentials()
    expiry = getattr(credentials, "_expiry_time", None)
    ttl = None if expiry is None else (expiry - datetime.now(UTC)).total_seconds()
    return Found(AWSKeys(frozen.access_key, frozen.secret_key, frozen.token), ttl, str(credentials.method))


def _sources(providers: list[Any], wanted: Wanted) -> list[Any]:
    return [
        _Source(item, wanted.services[item.CANONICAL_NAME]) if item.CANONICAL_NAME in wanted.services else item
        for item in providers
    ]


class _Source:
    """
    A service of the machine itself, in the place of the SDK's own provider of its keys.
    """

    def __init__(self, replaced: Any, fetch: Service) -> None:
        self.METHOD = replaced.METHOD
        self.CANONICAL_NAME = replaced.CANONICAL_NAME
        self._fetch = fetch

    async def load(self) -> Any:
        from aiobotocore.credentials import AioCredentials

        keys = (await self._fetch()).value
        if keys is None:
            return None
        return AioCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token, self.METHOD)


def _session(wanted: Wanted) -> Any:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

    hush()
    session = AioSession(profile=wanted.profile) if wanted.profile else AioSession()
    if wanted.profile and wanted.profile not in session.available_profiles:
        # One that nobody names need not be there.
        kind = MissingCredentialsError if wanted.profile == "default" else ConfigurationError
        raise kind(f"there is no AWS profile {wanted.profile!r}; there are {session.available_profiles}")
    region = wanted.region or session.get_config_variable("region")
    session.set_config_variable("region", region or "us-east-1")
    http = wanted.http
    if http.ca_file is not None or not http.verify:
        session.set_config_variable("ca_bundle", http.verify and str(http.ca_file))
    proxies = {"http": http.proxy, "https": http.proxy} if http.proxy else {}
    # Whoever waits for the keys decides whether to ask again.
    once = {"mode": "standard", "total_max_attempts": 1}
    session.set_default_client_config(AioConfig(connect_timeout=5, read_timeout=20, retries=once, proxies=proxies))

    def check(request: Any, **_: Any) -> None:
        require_tls(request.url, allow_http=http.allow_http)

    session.register("before-send", check)
    return session


def _tried(resolver: Any, wanted: Wanted) -> str:
    names = ", ".join(item.METHOD for item in resolver.providers)
    where = f" for profile {wanted.profile!r}" if wanted.profile else ""
    return f"tried {names}{where}, and none has any"

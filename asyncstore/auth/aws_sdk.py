"""
AWS credentials by the SDK's own resolvers: what the shared files say, single sign-on included.

aiobotocore reads files, loads its service models and builds TLS contexts where
it stands. So all of it runs in a worker thread, on an event loop of its own, and
ours never waits. It happens about once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.key_files import warn_if_shared
from asyncstore.auth.redact import redact
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

R = TypeVar("R")

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

_BODY: Final = re.compile(r"(Received non 200 response \d+).*", re.DOTALL)

# What prints whole requests and replies at DEBUG, secrets included.
_CHATTY: Final = ("botocore.parsers", "botocore.endpoint", "botocore.auth", "botocore.hooks", "botocore.httpsession")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What to look for.

    Attributes:
        auth_type: ``"profile"`` or ``"sso"``.
        profile: Name of a profile, instead of ``AWS_PROFILE``.
        region: Where the token service is asked.
        imds_v1: Whether the first version of the instance metadata service,
            which any request forger can reach, may be used.
        mfa_token: A function that gives the code of an MFA device.
    """

    auth_type: str
    profile: str | None = None
    region: str | None = None
    imds_v1: bool = False
    mfa_token: Any = field(default=None, repr=False)


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

    def prompt(_: str) -> str:
        if wanted.mfa_token is None:
            raise ConfigurationError(
                "this AWS profile asks for an MFA code, and a library has nobody to ask: set mfa_token to a function "
                "that gives it, or use SSO"
            )
        # The function belongs to the caller's loop; this is another thread, which can wait.
        asking = asyncio.run_coroutine_threadsafe(secret_text("mfa_token", wanted.mfa_token), loop)
        return asking.result(TIMEOUT) or ""

    return await _in_thread(partial(_find_keys, wanted, prompt), wanted)


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


async def botocore_session(feed: Any, *, region: str | None, anonymous: bool) -> Any:
    """
    Return an aiobotocore session that asks *feed* for credentials whenever it signs.
    """
    return await anyio.to_thread.run_sync(_botocore_session, feed, region, anonymous)


async def _in_thread(start: Callable[[], Coroutine[Any, Any, R]], wanted: Wanted) -> R:
    def run() -> R:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(_named(start, wanted))

    return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)


class _Loop(asyncio.SelectorEventLoop):
    """
    An event loop that ends the processes that were started on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._started: list[asyncio.SubprocessTransport] = []

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        transport, protocol = await super().subprocess_exec(*args, **options)
        self._started.append(transport)
        return transport, protocol

    def close(self) -> None:
        running = [transport for transport in self._started if transport.get_returncode() is None]
        if running:
            self.run_until_complete(_end(running))
        super().close()


async def _end(running: list[asyncio.SubprocessTransport]) -> None:
    for transport in running:
        transport.close()
    with anyio.move_on_after(5):
        while any(item.get_returncode() is None for item in running):  # noqa: ASYNC110 - transports have no event for it
            await asyncio.sleep(0.01)


async def _named(start: Callable[[], Coroutine[Any, Any, R]], wanted: Wanted) -> R:
    try:
        import aiobotocore  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            f"auth_type {wanted.auth_type!r} needs aiobotocore: pip install 'asyncstore[s3]'"
        ) from None
    error: StorageError
    try:
        async with asyncio.timeout(TIMEOUT):
            return await start()
    except (StorageError, asyncio.CancelledError):
        raise
    except Exception as exc:  # noqa: BLE001 - the SDK raises anything, with requests and secrets in it
        error = _storage_error(exc, wanted)
    raise error


async def _find_keys(wanted: Wanted, prompt: Callable[[str], str]) -> Found:
    warn_if_shared(_files()[0])
    session = _session(wanted)
    resolver = session.get_component("credential_provider")
    resolver.providers = [item for item in resolver.providers if item.METHOD in _METHODS[wanted.auth_type]]
    for item in resolver.providers:
        if item.METHOD == "assume-role":
            item._prompter = prompt
    credentials = await resolver.load_credentials()
    if credentials is None:
        raise MissingCredentialsError(f"no AWS credentials: {_tried(resolver, wanted)}")
    # What is not ours to decide: how long before their end they are renewed.
    credentials._advisory_refresh_timeout = credentials._mandatory_refresh_timeout = 0
    frozen = await credentials.get_frozen_credentials()
    expiry = getattr(credentials, "_expiry_time", None)
    ttl = None if expiry is None else (expiry - datetime.now(UTC)).total_seconds()
    return Found(AWSKeys(frozen.access_key, frozen.secret_key, frozen.token), ttl, str(credentials.method))


def _session(wanted: Wanted) -> Any:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession

    _hush()
    session = AioSession(profile=wanted.profile) if wanted.profile else AioSession()
    if wanted.profile and wanted.profile not in session.available_profiles:
        raise ConfigurationError(f"there is no AWS profile {wanted.profile!r}; there are {session.available_profiles}")
    region = wanted.region or session.get_config_variable("region")
    session.set_config_variable("region", region or "us-east-1")
    if "AWS_EC2_METADATA_V1_DISABLED" not in os.environ:
        session.set_config_variable("ec2_metadata_v1_disabled", not wanted.imds_v1)
    session.set_default_client_config(
        AioConfig(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 2})
    )
    return session


def _botocore_session(feed: Any, region: str | None, anonymous: bool) -> Any:
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
        from botocore import UNSIGNED
    except ImportError:
        raise ConfigurationError("the native client needs aiobotocore: pip install 'asyncstore[s3]'") from None
    _hush()
    session = AioSession()
    session.register_component("credential_provider", _Feed(feed))
    if region is not None:
        session.set_config_variable("region", region)
    # The default presigner would still use the old signature in some regions.
    version = UNSIGNED if anonymous else "s3v4"
    session.set_default_client_config(AioConfig(signature_version=version, warm_up_loader_caches=True))
    return session


class _Feed:
    """
    Both a resolver and the credentials that it finds, as botocore asks for them.
    """

    method = "asyncstore"

    def __init__(self, keys: Callable[[], Coroutine[Any, Any, AWSKeys]]) -> None:
        self._keys = keys

    async def load_credentials(self) -> _Feed:
        return self

    async def get_frozen_credentials(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials

        keys = await self._keys()
        return ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token)

    async def get_account_id(self) -> None:
        return None

    def get_deferred_property(self, name: str) -> Callable[[], None]:
        # Only the account's id is asked for, which S3 does without.
        return lambda: None


def _tried(resolver: Any, wanted: Wanted) -> str:
    names = ", ".join(item.METHOD for item in resolver.providers)
    where = f" for profile {wanted.profile!r}" if wanted.profile else ""
    return f"tried {names}{where}, and none has any"


def _storage_error(exc: Exception, wanted: Wanted) -> StorageError:
    from botocore.exceptions import ClientError

    what = f"auth_type {wanted.auth_type!r}"
    if isinstance(exc, ClientError):
        return _service_error(exc, what)
    kind, text = _KINDS.get(type(exc).__name__, (None, ""))
    if kind is None and isinstance(exc, OSError | TimeoutError):
        kind = UnavailableError
    if getattr(exc, "kwargs", {}).get("provider") == "custom-process":
        # Its message is all that the process wrote to stderr.
        kind, text = UnauthenticatedError, "credential_process ended with an error"
    # What follows the status is the body of the reply.
    told = redact(_BODY.sub(r"\1", str(exc)))[:300]
    return (kind or UnauthenticatedError)(f"{what}: {text or told or type(exc).__name__}")


_KINDS: Final[Mapping[str, tuple[type[StorageError], str]]] = {
    "ConfigParseError": (ConfigurationError, ""),
    "InfiniteLoopConfigError": (ConfigurationError, ""),
    "InvalidConfigError": (ConfigurationError, ""),
    "PartialCredentialsError": (ConfigurationError, ""),
    "ProfileNotFound": (ConfigurationError, ""),
    "UnknownCredentialError": (ConfigurationError, ""),
    "FileNotFoundError": (ConfigurationError, ""),
    "JSONDecodeError": (UnauthenticatedError, "credential_process printed no valid JSON document"),
    "TimeoutError": (UnavailableError, f"no answer within {TIMEOUT:g} s"),
    "EndpointConnectionError": (UnavailableError, ""),
    "ConnectionClosedError": (UnavailableError, ""),
    "HTTPClientError": (UnavailableError, ""),
    "MetadataRetrievalError": (UnavailableError, ""),
    "CredentialRetrievalError": (UnavailableError, ""),
}


def _service_error(exc: Any, what: str) -> StorageError:
    meta = exc.response.get("ResponseMetadata", {})
    code = exc.response.get("Error", {}).get("Code")
    status = meta.get("HTTPStatusCode") or 0
    passing = status >= 500 or status == 429 or code in ("Throttling", "ThrottlingException")
    return (UnavailableError if passing else UnauthenticatedError)(
        f"{what}: {exc.operation_name} was refused", code=code, status=status, request_id=meta.get("RequestId")
    )


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        # The body of a reply can be anything.
        record.msg = "Response body: ***" if text.startswith("Response body") else redact(text)
        record.args = None
        return True


@cache
def _hush() -> None:
    for name in _CHATTY:
        logging.getLogger(name).addFilter(_Redacting())

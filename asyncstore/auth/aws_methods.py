"""
The ways to find AWS keys, and which of them some settings mean.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread

from asyncstore.auth import aws_sdk
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Settings that :func:`aws_credentials` takes.
SETTINGS: Final = (
    "access_key_id",
    "secret_access_key",
    "session_token",
    "anonymous",
    "profile",
    "role_arn",
    "role_session_name",
    "web_identity_token_file",
    "imds_v1",
)

AUTH_TYPES: Final = (
    "default",
    "static",
    "environment",
    "anonymous",
    "profile",
    "sso",
    "web_identity",
    "container",
    "instance_profile",
)

_ALIASES: Final = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "aws_profile": "profile",
}

_KEYS: Final = ("access_key_id", "secret_access_key", "session_token")
_WEB_IDENTITY: Final = {
    "role_arn": "AWS_ROLE_ARN",
    "web_identity_token_file": "AWS_WEB_IDENTITY_TOKEN_FILE",
    "role_session_name": "AWS_ROLE_SESSION_NAME",
}

#: Keys (``None`` for requests that stay unsigned) and where they came from.
Outcome = tuple[Grant[AWSKeys | None], str]
Fetch = Callable[[], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to find keys, chosen by the settings; *fetch* also says where they came from.
    """

    auth_type: str
    source: str
    fetch: Fetch
    wanted: aws_sdk.Wanted


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name in (*SETTINGS, *_ALIASES):
        if name not in settings:
            continue
        own = _ALIASES.get(name, name)
        if own in taken:
            raise ConfigurationError(f"give {own} or {name}, not both")
        taken[own] = settings.pop(name)
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for AWS credentials; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: dict[str, Any], region: str | None) -> Method:
    if auth_type == "default":
        auth_type = _implied(settings)
    if auth_type not in AUTH_TYPES:
        raise ConfigurationError(f"AWS has no auth_type {auth_type!r}; it has {', '.join(AUTH_TYPES)}")
    if auth_type != "static" and (keys := [name for name in _KEYS if name in settings]):
        raise ConfigurationError(f"auth_type {auth_type!r} takes no {' or '.join(keys)}: use static")
    if auth_type not in ("default", "anonymous") and flag(settings.get("anonymous", False)):
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    wanted = _wanted(auth_type, settings, region)
    if auth_type == "static":
        return Method(auth_type, "settings", _static(settings), wanted)
    if auth_type == "anonymous":
        return Method(auth_type, "settings", _anonymous, wanted)
    if auth_type == "environment":
        return Method(auth_type, "environment", _environment, wanted)
    return Method(auth_type, _describe(wanted), _from_sdk(wanted), wanted)


def _implied(settings: Mapping[str, Any]) -> str:
    keys = [name for name in _KEYS if name in settings]
    anonymous = flag(settings.get("anonymous", False))
    if anonymous and keys:
        raise ConfigurationError(f"anonymous access needs no {' or '.join(keys)}: leave out one or the other")
    if anonymous:
        return "anonymous"
    if keys:
        return "static"
    if "profile" in settings:
        return "profile"
    return "web_identity" if "web_identity_token_file" in settings else "default"


def _wanted(auth_type: str, settings: Mapping[str, Any], region: str | None) -> aws_sdk.Wanted:
    web_identity = {name: str(settings[name]) for name in _WEB_IDENTITY if name in settings}
    if web_identity:
        for name, variable in _WEB_IDENTITY.items():
            if value := os.environ.get(variable):
                web_identity.setdefault(name, value)
    return aws_sdk.Wanted(
        auth_type=auth_type,
        profile=settings.get("profile"),
        region=region or os.environ.get("AWS_REGION"),
        web_identity=web_identity,
        imds_v1=flag(settings.get("imds_v1", False)),
    )


def _describe(wanted: aws_sdk.Wanted) -> str:
    if wanted.profile:
        return f"profile {wanted.profile!r}"
    return "the environment or the SDK's chain" if wanted.auth_type == "default" else wanted.auth_type


async def _anonymous() -> Outcome:
    return Grant(None), "settings"


def _static(settings: Mapping[str, Any]) -> Fetch:
    missing = [name for name in _KEYS[:2] if not settings.get(name)]
    if missing:
        raise ConfigurationError(f"static credentials need {' and '.join(missing)}")

    async def fetch() -> Outcome:
        access_key_id, secret_access_key, token = [await _text(name, settings.get(name)) for name in _KEYS]
        if not access_key_id or not secret_access_key:
            raise UnauthenticatedError("the functions that give static credentials gave none")
        return Grant(AWSKeys(access_key_id, secret_access_key, token or None)), "settings"

    return fetch


async def _text(name: str, value: Any) -> str | None:
    if inspect.iscoroutinefunction(value):
        value = await value()
    elif callable(value):
        value = await anyio.to_thread.run_sync(value)
    if isinstance(value, Secret):
        value = value.reveal()
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is text, a Secret or a function that returns one, not {type(value).__name__}")
    return value


async def _environment() -> Outcome:
    keys = _environment_keys()
    if keys is None:
        raise UnauthenticatedError("the environment has no AWS_ACCESS_KEY_ID")
    return Grant(keys), "environment"


def _environment_keys() -> AWSKeys | None:
    access_key_id = os.environ.get("AWS_ACCESS_KEY_ID")
    secret_access_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id:
        return None
    if not secret_access_key:
        raise ConfigurationError("the environment has AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY")
    return AWSKeys(access_key_id, secret_access_key, os.environ.get("AWS_SESSION_TOKEN") or None)


def _from_sdk(wanted: aws_sdk.Wanted) -> Fetch:
    async def fetch() -> Outcome:
        if wanted.auth_type == "default" and (keys := _environment_keys()) is not None:
            return Grant(keys), "environment"
        found = await aws_sdk.find_keys(wanted)
        return Grant(found.keys, found.ttl), f"{_describe(wanted)} ({found.method})"

    return fetch

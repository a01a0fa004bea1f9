"""
Keys of AWS roles, assumed with other keys or with the token of an identity provider.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.document import KeyGrant
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.aws.sts import EXPIRED, STS
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.methods import MethodSettings, nested_config
from asyncstore.auth.tokens import MissingCredentialsError, secret_text
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_ARN: Final = re.compile(r"arn:[\w-]+:iam::\d*:role/.{1,512}")
_SESSION: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_MFA_CODE: Final = re.compile(r"\d{6}", re.ASCII)
_DURATION: Final = range(900, 43_201)

# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
_CHAINED: Final = 3_600
_ROLES: Final = frozenset({"assume_role", "web_identity"})
_MAX_TAGS: Final = 50

# Settings of a role that are meant for its source.
_PASSED: Final = ("access_key_id", "secret_access_key", "session_token", "profile")

# Bytes of the longest token of an identity provider that STS accepts.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
_MAX_TOKEN: Final = 20_000


def source_of(settings: MethodSettings, region: str | None) -> AuthConfig:
    """
    Return the configuration of the credentials that assume a role: the one in the settings, else the default.

    Args:
        region: Of the role; a source without a region uses it too.

    Raises:
        ConfigurationError: Two sources are set, or one that is not a configuration.
    """
    passed = {name: settings.explicit[name] for name in _PASSED if name in settings.explicit}
    source = settings.explicit.get("source")
    if source is None:
        return AuthConfig(settings=passed, region=region)
    if passed:
        raise ConfigurationError(f"a role has one source: leave out source or {' and '.join(passed)}")
    found = nested_config("source", source)
    return dataclasses.replace(found, region=found.region or region)


class AssumedRole:
    """
    A role that is assumed with other keys.

    Args:
        source: Provides these keys.

    Raises:
        ConfigurationError: A setting is missing, or STS would reject it.
    """

    def __init__(self, settings: MethodSettings, sts: STS, source: Credentials[Any]) -> None:
        self._settings = settings
        self._sts = sts
        self._source = source
        if source.anonymous:
            raise ConfigurationError("a role cannot be assumed anonymously: its source needs keys")
        self._fields = role_fields(settings)
        if source.auth_type in _ROLES and int(self._fields.get("DurationSeconds", 0)) > _CHAINED:
            raise ConfigurationError(f"duration is at most {_CHAINED} seconds for a role that another role assumes")
        if "external_id" in settings:
            self._fields["ExternalId"] = _matching(_EXTERNAL_ID, "external_id", settings.get("external_id"))
        self._fields |= _tag_fields(settings)
        if "source_identity" in settings:
            self._fields["SourceIdentity"] = _matching(_SESSION, "source_identity", settings.get("source_identity"))
        if ("mfa_serial" in settings) != ("mfa_token" in settings):
            raise ConfigurationError("an MFA device needs mfa_serial and mfa_token, a function that returns its code")

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.

        Raises:
            UnauthenticatedError, UnavailableError: STS rejected the request, or did not answer.
        """
        lease = await self._source.get()
        try:
            return await self._assume(lease.value)
        except UnauthenticatedError as exc:
            if exc.code not in EXPIRED:
                raise
            return await self._assume((await self._source.refresh(lease)).value)

    async def _assume(self, keys: AWSKeys | None) -> KeyGrant:
        if keys is None:
            raise ConfigurationError("a role cannot be assumed anonymously: its source needs keys")
        fields = _named(self._fields)
        if "mfa_serial" in self._settings:
            fields["SerialNumber"] = str(self._settings.get("mfa_serial"))
            code = await secret_text("mfa_token", self._settings.get("mfa_token")) or ""
            if not _MFA_CODE.fullmatch(code):
                raise UnauthenticatedError("the function for mfa_token did not return six digits")
            fields["TokenCode"] = code
        return await self._sts.keys("AssumeRole", fields, keys)


class WebIdentity:
    """
    A role that is assumed with the token of an identity provider, such as a Kubernetes cluster.

    The token file is read for each request, since the cluster replaces it.

    Raises:
        ConfigurationError: STS would reject a setting.
    """

    def __init__(self, settings: MethodSettings, sts: STS) -> None:
        self._settings = settings
        self._sts = sts
        if any(settings.explicit.get(name) for name in ("role_arn", "web_identity_token_file")):
            self._check()

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.

        Raises:
            UnauthenticatedError, UnavailableError: STS rejected the request, or did not answer.
        """
        self._check()
        file = self._settings.get("web_identity_token_file")
        token = await in_thread(read_token_file, file, "web_identity_token_file", _MAX_TOKEN)
        fields = _named(role_fields(self._settings)) | {"WebIdentityToken": token}
        return await self._sts.keys("AssumeRoleWithWebIdentity", fields, None)

    def _check(self) -> None:
        names = ("role_arn", "web_identity_token_file")
        missing = [name for name in names if name not in self._settings]
        if len(missing) == len(names):
            raise MissingCredentialsError("AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not set")
        if missing:
            raise ConfigurationError(
                f"{missing[0]} is missing: web_identity needs role_arn and web_identity_token_file"
            )
        role_fields(self._settings)


def role_fields(settings: MethodSettings) -> dict[str, str]:
    """
    Return the request fields that all methods of assuming a role have in common.
    """
    if "role_arn" not in settings:
        raise ConfigurationError("a role needs role_arn")
    fields = {"RoleArn": _matching(_ARN, "role_arn", settings.get("role_arn"))}
    if "role_session_name" in settings:
        fields["RoleSessionName"] = _matching(_SESSION, "role_session_name", settings.get("role_session_name"))
    if "duration" in settings:
        fields["DurationSeconds"] = str(_duration(settings.get("duration")))
    if "policy" in settings:
        fields["Policy"] = _policy(settings.get("policy"))
    for number, arn in enumerate(_texts("policy_arns", settings.get("policy_arns")), 1):
        fields[f"PolicyArns.member.{number}.arn"] = arn
    return fields


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    # The name distinguishes sessions in AWS logs.
    return {"RoleSessionName": f"asyncstore-{time.time_ns() // 1000}", **fields}


def _matching(pattern: re.Pattern[str], name: str, value: Any) -> str:
    text = str(value)
    if not pattern.fullmatch(text):
        raise ConfigurationError(f"{name} is not valid: AWS accepts what matches {pattern.pattern}")
    return text


def _duration(value: Any) -> int:
    try:
        seconds = int(value)
    except (TypeError, ValueError):
        seconds = -1
    if seconds not in _DURATION:
        raise ConfigurationError(f"duration is {_DURATION.start} to {_DURATION.stop - 1} seconds, not {value!r}")
    return seconds


def _policy(value: Any) -> str:
    try:
        if not isinstance(value, str):
            value = json.dumps(value)
        document = json.loads(value)
    except (TypeError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise ConfigurationError("policy is a JSON object, as text or a mapping")
    return str(value)


def _tag_fields(settings: MethodSettings) -> dict[str, str]:
    tags = settings.get("tags") or {}
    if isinstance(tags, str):
        pairs = [item.partition("=") for item in _texts("tags", tags)]
        tags = {name: value for name, _, value in pairs}
    if not isinstance(tags, Mapping) or len(tags) > _MAX_TAGS:
        raise ConfigurationError(
            f"tags is a mapping, or text such as team=red,stage=test, with at most {_MAX_TAGS} tags"
        )
    fields: dict[str, str] = {}
    for number, (key, value) in enumerate(tags.items(), 1):
        fields |= {f"Tags.member.{number}.Key": str(key), f"Tags.member.{number}.Value": str(value)}
    for number, key in enumerate(_texts("transitive_tag_keys", settings.get("transitive_tag_keys")), 1):
        fields[f"TransitiveTagKeys.member.{number}"] = key
    return fields


def _texts(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    items: Iterable[Any] = value.split(",") if isinstance(value, str) else value
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        raise ConfigurationError(f"{name} is a list, or text separated by commas, not {type(value).__name__}")
    return [text for item in items if (text := str(item).strip())]

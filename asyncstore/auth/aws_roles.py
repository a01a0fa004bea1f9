"""
Keys of AWS roles: assumed with other keys, or with the token of an identity provider.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncstore.auth.aws_document import KeyGrant
from asyncstore.auth.aws_sts import EXPIRED, STS
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

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

# Bytes of the longest token of an identity provider that STS takes.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
_MAX_TOKEN: Final = 20_000


class AssumedRole:
    """
    A role that other keys may assume.

    Args:
        source: Whose keys they are.

    Raises:
        ConfigurationError: A setting is missing, or not what STS would take.
    """

    def __init__(self, given: Given, sts: STS, source: Credentials[Any]) -> None:
        self._given = given
        self._sts = sts
        self._source = source
        if source.anonymous:
            raise ConfigurationError("a role is assumed with keys, and its source is anonymous")
        self._fields = role_fields(given)
        if source.auth_type in _ROLES and int(self._fields.get("DurationSeconds", 0)) > _CHAINED:
            raise ConfigurationError(f"the keys of a role of a role last up to {_CHAINED} seconds: see duration")
        if "external_id" in given:
            self._fields["ExternalId"] = _matching(_EXTERNAL_ID, "external_id", given.get("external_id"))
        self._fields |= _tag_fields(given)
        if "source_identity" in given:
            self._fields["SourceIdentity"] = _matching(_SESSION, "source_identity", given.get("source_identity"))
        if ("mfa_serial" in given) != ("mfa_token" in given):
            raise ConfigurationError("an MFA device is mfa_serial and mfa_token, a function that gives its code")

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.
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
            raise ConfigurationError("a role is assumed with keys, and its source is anonymous")
        fields = _named(self._fields)
        if "mfa_serial" in self._given:
            fields["SerialNumber"] = str(self._given.get("mfa_serial"))
            code = await secret_text("mfa_token", self._given.get("mfa_token")) or ""
            if not _MFA_CODE.fullmatch(code):
                raise UnauthenticatedError("the code of an MFA device has six digits")
            fields["TokenCode"] = code
        return await self._sts.keys("AssumeRole", fields, keys)


class WebIdentity:
    """
    A role for whoever holds a token of an identity provider, such as a Kubernetes cluster.

    The file is read each time: the cluster replaces it.

    Raises:
        ConfigurationError: A setting is not what STS would take.
    """

    def __init__(self, given: Given, sts: STS) -> None:
        self._given = given
        self._sts = sts
        if any(given.settings.get(name) for name in ("role_arn", "web_identity_token_file")):
            self._check()

    async def fetch(self) -> KeyGrant:
        """
        Return new keys of the role.
        """
        self._check()
        file = self._given.get("web_identity_token_file")
        token = await in_thread(read_token_file, file, "web_identity_token_file", _MAX_TOKEN)
        fields = _named(role_fields(self._given)) | {"WebIdentityToken": token}
        return await self._sts.keys("AssumeRoleWithWebIdentity", fields, None)

    def _check(self) -> None:
        names = ("role_arn", "web_identity_token_file")
        missing = [name for name in names if name not in self._given]
        if len(missing) == len(names):
            raise MissingCredentialsError("AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not set")
        if missing:
            raise ConfigurationError(f"a web identity needs {missing[0]} too")
        role_fields(self._given)


def role_fields(given: Given) -> dict[str, str]:
    """
    Return what both ways to a role say of it.
    """
    if "role_arn" not in given:
        raise ConfigurationError("a role is named by role_arn")
    fields = {"RoleArn": _matching(_ARN, "role_arn", given.get("role_arn"))}
    if "role_session_name" in given:
        fields["RoleSessionName"] = _matching(_SESSION, "role_session_name", given.get("role_session_name"))
    if "duration" in given:
        fields["DurationSeconds"] = str(_duration(given.get("duration")))
    if "policy" in given:
        fields["Policy"] = _policy(given.get("policy"))
    for number, arn in enumerate(_texts("policy_arns", given.get("policy_arns")), 1):
        fields[f"PolicyArns.member.{number}.arn"] = arn
    return fields


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    # Shows in the logs of AWS, where it tells one session from the next.
    return {"RoleSessionName": f"asyncstore-{time.time_ns() // 1000}", **fields}


def _matching(pattern: re.Pattern[str], name: str, value: Any) -> str:
    text = str(value)
    if not pattern.fullmatch(text):
        raise ConfigurationError(f"{name} is not what AWS takes: it matches {pattern.pattern}")
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
        raise ConfigurationError("policy is a JSON object, or its text")
    return str(value)


def _tag_fields(given: Given) -> dict[str, str]:
    tags = given.get("tags") or {}
    if isinstance(tags, str):
        pairs = [item.partition("=") for item in _texts("tags", tags)]
        tags = {name: value for name, _, value in pairs}
    if not isinstance(tags, Mapping) or len(tags) > _MAX_TAGS:
        raise ConfigurationError(f"tags are at most {_MAX_TAGS}: a mapping, or text such as team=red,stage=test")
    fields: dict[str, str] = {}
    for number, (key, value) in enumerate(tags.items(), 1):
        fields |= {f"Tags.member.{number}.Key": str(key), f"Tags.member.{number}.Value": str(value)}
    for number, key in enumerate(_texts("transitive_tag_keys", given.get("transitive_tag_keys")), 1):
        fields[f"TransitiveTagKeys.member.{number}"] = key
    return fields


def _texts(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    items: Iterable[Any] = value.split(",") if isinstance(value, str) else value
    if isinstance(items, Mapping) or not isinstance(items, Iterable):
        raise ConfigurationError(f"{name} is a list, or text with commas, not {type(value).__name__}")
    return [text for item in items if (text := str(item).strip())]

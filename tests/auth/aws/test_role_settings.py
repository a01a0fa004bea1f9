"""
Invalid settings of roles are rejected before anything is sent.
"""

from __future__ import annotations

from typing import Any

import pytest

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError
from tests.servers.identity.aws import ROLE, SOURCE_SETTINGS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"role_arn": "r"}, "role_arn is not valid: AWS accepts"),
        ({"external_id": "x"}, "external_id is not valid: AWS accepts"),
        ({"role_session_name": "a b"}, "role_session_name is not valid: AWS accepts"),
        ({"duration": 899}, "900 to 43200 seconds, not 899"),
        ({"duration": "long"}, "900 to 43200 seconds, not 'long'"),
        ({"policy": "[]"}, "policy is a JSON object"),
        ({"policy": {1, 2}}, "policy is a JSON object"),
        ({"policy_arns": 1}, "policy_arns is a list"),
        ({"tags": {str(number): "" for number in range(51)}}, "at most 50"),
        ({"tags": 1}, "tags is a mapping"),
        ({"transitive_tag_keys": {"a": 1}}, "transitive_tag_keys is a list"),
        ({"mfa_serial": "serial"}, "mfa_serial and mfa_token"),
        ({"mfa_token": lambda: "123456"}, "mfa_serial and mfa_token"),
        ({"source": {"auth_type": "static"}}, "one source: leave out source or access_key_id"),
        ({"web_identity_token": "x"}, "no setting 'web_identity_token'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """
    What STS would reject is rejected with a helpful message before anything is sent.
    """
    given = {"role_arn": ROLE, **SOURCE_SETTINGS, **settings}

    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(AuthConfig(auth_type="assume_role", settings=given))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"auth_type": "anonymous"}, "cannot be assumed anonymously"),
        ({"auth_type": "magic"}, "no auth_type 'magic'"),
        ({"kind": "static"}, "not kind"),
        ({"settings": "keys"}, "settings is a table"),
        ("static", "not str"),
        ({"provider": "gcs"}, "credentials for 'gcs', not for"),
        (AuthConfig(auth_type="assume_role", settings={"role_arn": ROLE}), "at most 3600 seconds"),
    ],
)
def test_wrong_sources_are_refused(source: Any, message: str) -> None:
    """
    Sources that cannot assume a role are rejected at once.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(None, {"role_arn": ROLE, "source": source, "duration": 7200})


def test_roles_in_a_circle() -> None:
    """
    A role that is its own source, through a table that contains itself, is detected.
    """
    settings: dict[str, Any] = {"role_arn": ROLE}
    settings["source"] = AuthConfig(auth_type="assume_role", settings=settings)

    with pytest.raises(ConfigurationError, match="more than 10 roles"):
        aws_credentials(None, dict(settings))


def test_fallbacks_in_a_circle() -> None:
    """
    The error shows a chain that returns to an earlier configuration.
    """
    first = AuthConfig(auth_type="environment")
    second = AuthConfig(auth_type="container", fallback=first)
    object.__setattr__(first, "fallback", second)

    with pytest.raises(ConfigurationError, match="circle: environment -> container -> environment"):
        aws_credentials(first)

"""
What a profile of the shared files means: one of the other methods, with the settings that the files say.

https://docs.aws.amazon.com/sdkref/latest/guide/access-assume-role.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asyncstore.auth.aws_endpoints import configured_endpoint
from asyncstore.auth.aws_files import Section, SharedFiles
from asyncstore.auth.aws_region import environment_region
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.method import Given
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError

# What profiles call the methods of this machine.
_SOURCES: Final = {
    "Environment": "environment",
    "Ec2InstanceMetadata": "instance_profile",
    "EcsContainer": "container",
}
_KEYS: Final = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}
_ROLE: Final = {
    "role_arn": "role_arn",
    "role_session_name": "role_session_name",
    "duration": "duration_seconds",
}


class ProfileReader:
    """
    Says what profiles mean.

    Args:
        given: Settings of the method ``profile``.
        region: Goes before that of the environment and of a profile.
    """

    def __init__(self, files: SharedFiles, given: Given, region: str | None) -> None:
        self._files = files
        self._given = given
        self._region = region

    def meaning(self, name: str) -> AuthConfig:
        """
        Return the configuration that a profile comes to.

        Raises:
            MissingCredentialsError: It has no credentials.
            ConfigurationError: There is no such profile, or something is wrong with it.
        """
        return self._meaning(name, ())

    def _meaning(self, name: str, before: Sequence[str]) -> AuthConfig:
        profile = self._files.profile(name)
        # The order is that of boto3.
        if "web_identity_token_file" in profile:
            return self._web_identity(profile)
        # The source of a role can have one of its own; its keys go before that.
        keys = any(key in profile for key in _KEYS.values())
        if "role_arn" in profile and not (before and keys):
            return self._role(name, profile, before)
        if "sso_account_id" in profile or "sso_role_name" in profile:
            return self._auth("sso", profile, profile=name)
        if "credential_process" in profile and name not in self._files.with_keys:
            return self._auth("process", profile, credential_process=profile["credential_process"])
        if keys:
            return self._auth("static", profile, **_taken(profile, _KEYS))
        if "login_session" in profile:
            raise ConfigurationError(f"AWS profile {name!r} has a login_session, which is not supported: use SSO")
        raise MissingCredentialsError(f"AWS profile {name!r} has no credentials")

    def _role(self, name: str, profile: Section, before: Sequence[str]) -> AuthConfig:
        settings: dict[str, Any] = _taken(profile, {**_ROLE, "external_id": "external_id", "mfa_serial": "mfa_serial"})
        if "mfa_serial" in settings:
            settings["mfa_token"] = self._mfa_token(name)
        return self._auth(
            "assume_role",
            profile,
            **settings,
            **self._endpoint(profile),
            source=self._source(name, profile, before),
        )

    def _source(self, name: str, profile: Section, before: Sequence[str]) -> AuthConfig:
        source, service = profile.get("source_profile"), profile.get("credential_source")
        if (source is None) == (service is None):
            raise ConfigurationError(f"AWS profile {name!r} has a role: it needs source_profile or credential_source")
        if service is not None:
            if service not in _SOURCES:
                raise ConfigurationError(f"credential_source is one of {', '.join(_SOURCES)}, not {service!r}")
            settings = {"imds_v1": self._given.get("imds_v1") or False} if service == "Ec2InstanceMetadata" else {}
            return self._auth(_SOURCES[service], profile, **settings)
        assert source is not None
        path = [*before, name]
        if source in before:
            raise ConfigurationError(f"the AWS profiles run in a circle: {' -> '.join([*path, source])}")
        try:
            return self._meaning(source, path)
        except MissingCredentialsError as exc:
            raise ConfigurationError(f"AWS profile {name!r} has no source: {exc.message}") from None

    def _web_identity(self, profile: Section) -> AuthConfig:
        names = {"web_identity_token_file": "web_identity_token_file", **_ROLE}
        return self._auth("web_identity", profile, **_taken(profile, names), **self._endpoint(profile))

    def _mfa_token(self, name: str) -> Any:
        if "mfa_token" not in self._given:
            raise ConfigurationError(
                f"AWS profile {name!r} asks for an MFA code, and a library has nobody to ask: set mfa_token to a "
                "function that gives it, or use SSO"
            )
        return self._given.get("mfa_token")

    def _endpoint(self, profile: Section) -> dict[str, str]:
        # Variables go before files.
        endpoint = None if configured_endpoint("sts") else self._files.endpoint(profile, "sts")
        return {} if endpoint is None else {"sts_endpoint": endpoint}

    def _auth(self, auth_type: str, section: Section, /, **settings: Any) -> AuthConfig:
        region = self._region or environment_region() or section.get("region")
        return AuthConfig(auth_type=auth_type, settings=settings, region=region)


def _taken(profile: Section, names: dict[str, str]) -> dict[str, Any]:
    return {name: profile[theirs] for name, theirs in names.items() if profile.get(theirs)}

"""
Translates a profile of the shared files into one of the other methods.

https://docs.aws.amazon.com/sdkref/latest/guide/access-assume-role.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asyncstore.auth.aws.configuration import Configuration
from asyncstore.auth.aws.files import Section, SharedFiles
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError

# The names that profiles use for methods of this machine.
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
    Translates profiles.

    Args:
        settings: Those of the method ``profile``.
        region: Takes precedence over that of the environment and of a profile.
    """

    def __init__(self, files: SharedFiles, settings: MethodSettings, region: str | None) -> None:
        self._files = files
        self._settings = settings
        self._region = region

    def meaning(self, name: str) -> AuthConfig:
        """
        Return the configuration that a profile stands for.

        Raises:
            MissingCredentialsError: The profile has no credentials.
            ConfigurationError: The profile does not exist, or is not valid.
        """
        return self._meaning(name, ())

    def _meaning(self, name: str, before: Sequence[str]) -> AuthConfig:
        profile = self._files.profile(name)
        # The order of boto3.
        if "web_identity_token_file" in profile:
            return self._web_identity(profile)
        # The source of a role can itself be a role, but its keys take precedence.
        keys = any(key in profile for key in _KEYS.values())
        if "role_arn" in profile and not (before and keys):
            return self._role(name, profile, before)
        if "sso_account_id" in profile or "sso_role_name" in profile:
            return self._auth("sso", profile, profile=name)
        if "login_session" in profile and name not in self._files.with_keys:
            return self._auth("login", profile, profile=name)
        if "credential_process" in profile and name not in self._files.with_keys:
            return self._auth("process", profile, credential_process=profile["credential_process"])
        if keys:
            return self._auth("static", profile, **_taken(profile, _KEYS))
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
            raise ConfigurationError(
                f"AWS profile {name!r} has a role: it needs either source_profile or credential_source"
            )
        if service is not None:
            if service not in _SOURCES:
                raise ConfigurationError(f"credential_source is one of {', '.join(_SOURCES)}, not {service!r}")
            settings = {"imds_v1": self._settings.get("imds_v1") or False} if service == "Ec2InstanceMetadata" else {}
            return self._auth(_SOURCES[service], profile, **settings)
        assert source is not None
        path = [*before, name]
        if source in before:
            raise ConfigurationError(f"the AWS profiles form a circle: {' -> '.join([*path, source])}")
        try:
            return self._meaning(source, path)
        except MissingCredentialsError as exc:
            raise ConfigurationError(f"AWS profile {name!r} cannot use its source: {exc.message}") from None

    def _web_identity(self, profile: Section) -> AuthConfig:
        names = {"web_identity_token_file": "web_identity_token_file", **_ROLE}
        return self._auth("web_identity", profile, **_taken(profile, names), **self._endpoint(profile))

    def _mfa_token(self, name: str) -> Any:
        if "mfa_token" not in self._settings:
            raise ConfigurationError(
                f"AWS profile {name!r} needs an MFA code: set mfa_token to a function that returns it, or use SSO"
            )
        return self._settings.get("mfa_token")

    def _endpoint(self, profile: Section) -> dict[str, str]:
        # Environment variables take precedence over files.
        configured = Configuration().endpoint("sts")
        endpoint = None if configured else self._files.endpoint(profile, "sts")
        return {} if endpoint is None else {"sts_endpoint": endpoint}

    def _auth(self, auth_type: str, section: Section, /, **settings: Any) -> AuthConfig:
        region = self._region or Configuration().text("region") or section.get("region")
        return AuthConfig(auth_type=auth_type, settings=settings, region=region)


def _taken(profile: Section, names: dict[str, str]) -> dict[str, Any]:
    return {name: profile[theirs] for name, theirs in names.items() if profile.get(theirs)}

"""
Test cases for every Google method, each with a server on this machine.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.gcp.credentials import METHODS
from asyncstore.config import AuthConfig
from tests.auth.cases import Case, Running
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.gcs_client import key_file
from tests.servers.identity.gcp import (
    AWS_ID,
    IAM,
    METADATA,
    OAUTH,
    STS,
    SUBJECT,
    TARGET,
    WORKFORCE,
    GoogleService,
    aws_document,
    external_document,
    external_user_document,
    google_service,
    impersonated_document,
    impersonation_url,
    user_document,
)

Configure = Callable[[GoogleService, pytest.MonkeyPatch, Path], AuthConfig]


def without_own(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """
    Hide the credentials of this machine's user, and make the metadata server unreachable.
    """
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_QUOTA_PROJECT", "GOOGLE_CLOUD_UNIVERSE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_GCE_CHECK", "STORAGE_EMULATOR_HOST", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(directory / "gcloud"))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.setattr("asyncstore.auth.gcp.metadata.START_WAITS", (0.0, 0.0, 0.0))


def _start(
    final: str, configure: Configure
) -> Callable[[pytest.MonkeyPatch, Path], AbstractAsyncContextManager[Running]]:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, directory: Path) -> AsyncIterator[Running]:
        without_own(monkeypatch, directory)
        async with google_service(final) as service:
            service.auth = configure(service, monkeypatch, directory)
            yield service

    return start


def _from(auth_type: str, document: Any) -> AuthConfig:
    return AuthConfig(provider="gcp", auth_type=auth_type, settings={"credentials_json": document})


def _written(directory: Path, document: Any) -> str:
    file = directory / "credentials.json"
    file.write_text(json.dumps(document))
    file.chmod(0o600)
    return str(file)


def _service_account(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    document = key_file(service.url)
    # Lines from the middle, which are unique to this key.
    service.secrets = (*service.secrets, *document["private_key"].splitlines()[2:6])
    settings = {"credentials_file": _written(directory, document)}
    return AuthConfig(provider="gcp", auth_type="service_account", settings=settings)


def _authorized_user(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    return _from("authorized_user", user_document(service.url))


def _external_user(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    return _from("external_account_authorized_user", external_user_document(service.url))


def _metadata(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    monkeypatch.setenv("GCE_METADATA_HOST", service.url.removeprefix("http://"))
    return AuthConfig(provider="gcp", auth_type="metadata")


def _default(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", _written(directory, user_document(service.url)))
    return AuthConfig(provider="gcp")


def _external_file(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    file = directory / "subject.json"
    file.write_text(json.dumps({"id": SUBJECT}))
    described = {"type": "json", "subject_token_field_name": "id"}
    return _from("external_account", external_document(service.url, {"file": str(file), "format": described}))


def _external_url(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    source = {
        "url": f"{service.url}/subject",
        "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "access_token"},
    }
    return _from("external_account", external_document(service.url, source))


def _external_aws(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AWS_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    return _from("external_account", aws_document(service.url))


def _external_executable(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    monkeypatch.setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
    command = executable(directory, {"token_type": "urn:ietf:params:oauth:token-type:jwt", "id_token": SUBJECT})
    return _from("external_account", external_document(service.url, {"executable": {"command": command}}))


def executable(directory: Path, answer: dict[str, Any]) -> str:
    """
    Write a program that prints *answer* and saves its environment in a file beside it.
    """
    program = directory / "give-token"
    document = json.dumps({"version": 1, "success": True, **answer})
    program.write_text(
        f"#!/bin/sh\nenv >> {directory}/environment\necho {FAKE_SECRET} >&2\ncat <<'END'\n{document}\nEND\n"
    )
    program.chmod(0o700)
    return str(program)


def _external_impersonated(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    file = directory / "subject"
    file.write_text(SUBJECT)
    more = {"service_account_impersonation_url": impersonation_url(service.url)}
    return _from("external_account", external_document(service.url, {"file": str(file)}, **more))


def _impersonated(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    source = AuthConfig(auth_type="service_account", settings={"credentials_json": key_file(service.url)})
    settings = {"target_principal": TARGET, "source": source, "iam_endpoint": service.url}
    return AuthConfig(provider="gcp", auth_type="impersonated_service_account", settings=settings)


def _impersonated_file(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    # Not a user: the scopes of a user's tokens are fixed at login.
    document = impersonated_document(service.url, key_file(service.url))
    return _from("impersonated_service_account", document)


def _token(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    def give() -> str:
        service.calls.append(("CALL", "function"))
        return service.issue("")

    return AuthConfig(provider="gcp", auth_type="token", settings={"token": give})


def _anonymous(service: GoogleService, monkeypatch: pytest.MonkeyPatch, directory: Path) -> AuthConfig:
    return AuthConfig(provider="gcp", auth_type="anonymous")


def _case(name: str, final: str, configure: Configure) -> Case:
    auth_type = name.partition("-")[0]
    refreshes = next(method.refreshes for method in METHODS if method.auth_type == auth_type)
    return Case("gcp", auth_type, _start(final, configure), refreshes)


#: By name: the method, followed by a hyphen and the variant if there are several.
CASES: dict[str, Case] = {
    name: _case(name, final, configure)
    for name, (final, configure) in {
        "default": (OAUTH, _default),
        "service_account": (OAUTH, _service_account),
        "authorized_user": (OAUTH, _authorized_user),
        "external_account_authorized_user": (WORKFORCE, _external_user),
        "metadata": (METADATA, _metadata),
        "external_account-file": (STS, _external_file),
        "external_account-url": (STS, _external_url),
        "external_account-aws": (STS, _external_aws),
        "external_account-executable": (STS, _external_executable),
        "external_account-impersonated": (IAM, _external_impersonated),
        "impersonated_service_account": (IAM, _impersonated),
        "impersonated_service_account-file": (IAM, _impersonated_file),
        "token": ("function", _token),
        "anonymous": ("nowhere", _anonymous),
    }.items()
}

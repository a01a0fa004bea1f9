"""
The metadata server of a virtual machine, where programs on it get tokens.

`Metadata keys <https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>`_ ·
`querying <https://cloud.google.com/compute/docs/metadata/querying-metadata>`_
"""

from __future__ import annotations

from typing import Final

from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.tokens import Issuer

_ROOT: Final = "/computeMetadata/v1/"
_ACCOUNT: Final = "instance/service-accounts/default"
_FLAVOR: Final = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_DEFAULT_EMAIL: Final = "fake@test.iam.gserviceaccount.com"
_TEXTS: Final = {
    f"{_ACCOUNT}/scopes": _SCOPE,
    "project/project-id": "test",
    "universe/universe-domain": "googleapis.com",
}


def answer(settings: Settings, issuer: Issuer, call: Call) -> Reply | None:
    """
    Answer a request for metadata; ``None`` if it is for something else.
    """
    if call.method != "GET":
        return None
    if call.path.startswith(_ROOT):
        return _refused(call) or _value(settings, issuer, call)
    if call.path == "/" and call.headers.get("metadata-flavor") == "Google":
        # By this programs find out that they are on such a machine.
        return _text("computeMetadata/\n")
    return None


def _refused(call: Call) -> Reply | None:
    if call.headers.get("metadata-flavor") != "Google":
        return _text("Missing Metadata-Flavor:Google header.", 403)
    if "x-forwarded-for" in call.headers:
        return _text("Requests with X-Forwarded-For are refused.", 403)
    return None


def _value(settings: Settings, issuer: Issuer, call: Call) -> Reply:
    email = next((account.email for account in settings.accounts), _DEFAULT_EMAIL)
    path = call.path.removeprefix(_ROOT).strip("/").replace(f"service-accounts/{email}", "service-accounts/default")
    if path == f"{_ACCOUNT}/token":
        issuer.calls["metadata"] += 1
        return json_reply(issuer.grant(), headers=_FLAVOR)
    if path == _ACCOUNT and call.query.get("recursive", "").lower() == "true":
        return json_reply({"aliases": ["default"], "email": email, "scopes": [_SCOPE]}, headers=_FLAVOR)
    if path == f"{_ACCOUNT}/email":
        return _text(email)
    return _text(_TEXTS[path]) if path in _TEXTS else _text("", 404)


def _text(text: str, status: int = 200) -> Reply:
    return Reply(status, dict(_FLAVOR), text.encode())

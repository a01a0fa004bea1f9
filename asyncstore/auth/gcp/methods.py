"""
The authentication methods of Google.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.gcp.documents import (
    GCPContext,
    IdentityOptions,
    gcloud_file,
    identity_of,
    load_document,
    parse_document,
)
from asyncstore.auth.gcp.endpoints import iam_endpoint
from asyncstore.auth.gcp.iam import IAM
from asyncstore.auth.gcp.identity import SCOPES, UNIVERSE, Anonymous, Identity, SettingToken, split_list
from asyncstore.auth.gcp.impersonation import Impersonated, Target, lifetime_of
from asyncstore.auth.gcp.lookup import FirstOf, GCPMethod, IfPresent, Lookup, method_for
from asyncstore.auth.gcp.metadata import HOST, MetadataServer, checked_host
from asyncstore.auth.methods import AuthMethod, MethodSettings, MethodTable, Setting, nested_config
from asyncstore.auth.tokens import MissingCredentialsError, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError

_ADC: Final = "https://cloud.google.com/docs/authentication/application-default-credentials"
_FILE_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"

_COMMON: Final = (
    Setting("anonymous", "whether to send requests without a token"),
    Setting("hmac_access_id", "access id of an HMAC key, which is used to sign URLs only"),
    Setting("hmac_secret", "secret of the HMAC key", secret=True),
)
_TOKENS: Final = (
    Setting(
        "quota_project",
        "the project to bill and count quota for; overrides the one in a file",
        ("GOOGLE_CLOUD_QUOTA_PROJECT",),
    ),
    Setting("universe_domain", "domain of the cloud, if it is not the public one", ("GOOGLE_CLOUD_UNIVERSE_DOMAIN",)),
    *_COMMON,
)
_FILES: Final = (
    Setting("credentials_file", "JSON file of credentials", (_FILE_VARIABLE,)),
    Setting("credentials_json", "content of the file: text, a `Secret` or a mapping; overrides the file", secret=True),
)
# A file named by the environment supplies the source's credentials, or is this method's own document.
_SOURCE_FILES: Final = (
    Setting("credentials_file", "JSON file of the source's credentials, or of this method's own", (_FILE_VARIABLE,)),
    _FILES[1],
)
_SCOPES: Final = Setting(
    "scopes", "OAuth scopes of the tokens: a list or text; by default read and write access to Cloud Storage"
)
_SUBJECT: Final = Setting(
    "subject", "the user that a service account acts for (domain-wide delegation)", identifies=True
)
_SELF_SIGNED: Final = Setting(
    "self_signed_jwt", "whether a service account signs its tokens itself instead of requesting them"
)
_AWS: Final = Setting(
    "aws_source",
    "the AWS credentials of a workload on AWS: an `AuthConfig` or a table of its fields; "
    "by default those of the environment, the container or the instance",
)
_SUBJECT_TOKEN: Final = Setting(
    "subject_token",
    "the other provider's token, instead of a `credential_source`: text, a `Secret`, or a function that returns one",
    secret=True,
)
_DELEGATES: Final = Setting("delegates", "the delegation chain: each account is allowed to impersonate the next")
_LIFETIME: Final = Setting(
    "lifetime", "lifetime of an impersonated account's tokens in seconds: by default 3,600, up to 43,200 if allowed"
)
_IAM: Final = Setting("iam_endpoint", "URL of the IAM Credentials API, instead of the cloud's own")
_IMPERSONATION: Final = (_DELEGATES, _LIFETIME, _IAM)
_TOKEN: Final = Setting("token", "text, a `Secret`, or a function that returns one, plain or `async`", secret=True)
_METADATA: Final = (
    Setting("service_account", "email of the account, if the machine has several", identifies=True),
    Setting("metadata_host", "host of the metadata server, with an optional port", ("GCE_METADATA_HOST",)),
)

METHODS: Final = (
    AuthMethod(
        "default",
        "the first that exists of: the file that is named, gcloud's file, the metadata server",
        _ADC,
        (*_FILES, _SCOPES, _SUBJECT, _SELF_SIGNED, _AWS, _SUBJECT_TOKEN, *_IMPERSONATION, *_TOKENS),
        ("CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "NO_GCE_CHECK"),
        refreshes=True,
    ),
    AuthMethod(
        "service_account",
        "the key of a service account, which requests tokens or signs them itself",
        "https://developers.google.com/identity/protocols/oauth2/service-account",
        (*_FILES, _SCOPES, _SUBJECT, _SELF_SIGNED, *_TOKENS),
        refreshes=True,
        extra="gcs",
    ),
    AuthMethod(
        "authorized_user",
        "the file of `gcloud auth application-default login`",
        "https://cloud.google.com/docs/authentication/set-up-adc-local-dev-environment",
        (*_FILES, *_TOKENS),
        refreshes=True,
    ),
    AuthMethod(
        "external_account_authorized_user",
        "the file of `gcloud auth application-default login` for a user of a workforce pool",
        "https://cloud.google.com/iam/docs/workforce-obtaining-short-lived-credentials",
        (*_FILES, *_TOKENS),
        refreshes=True,
    ),
    AuthMethod(
        "metadata",
        "the metadata server of Compute Engine, GKE, Cloud Run and others",
        "https://cloud.google.com/compute/docs/access/authenticate-workloads",
        (*_METADATA, _SCOPES, _IAM, *_TOKENS),
        refreshes=True,
    ),
    AuthMethod(
        "external_account",
        "the token of another identity provider: from a file, a URL, AWS, or a program; or a certificate",
        "https://cloud.google.com/iam/docs/workload-identity-federation",
        (*_FILES, _SCOPES, _AWS, _SUBJECT_TOKEN, *_IMPERSONATION, *_TOKENS),
        (
            "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
            "GOOGLE_API_CERTIFICATE_CONFIG",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
        ),
        refreshes=True,
    ),
    AuthMethod(
        "impersonated_service_account",
        "a service account that another method's identity impersonates",
        "https://cloud.google.com/iam/docs/service-account-impersonation",
        (
            Setting("target_principal", "email of the service account", identifies=True),
            Setting(
                "source",
                "who impersonates it: an `AuthConfig` or a table of its fields; by default the default chain",
            ),
            *_SOURCE_FILES,
            _TOKEN,
            *_METADATA,
            _SCOPES,
            _AWS,
            _SUBJECT_TOKEN,
            *_IMPERSONATION,
            *_TOKENS,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "token",
        "a token in the settings; a function is called again if the token is rejected",
        "https://cloud.google.com/docs/authentication/token-types#access",
        (_TOKEN, *_TOKENS),
    ),
    AuthMethod(
        "anonymous",
        "no credentials, for public data",
        "https://cloud.google.com/storage/docs/access-public-data",
        _COMMON,
    ),
)

# The driver has this setting too.
_UNIVERSE: Final = "universe_domain"

# Settings that say where the credentials are. Those of different kinds exclude each other.
_LOCATIONS: Final = {
    "token": "token",
    "credentials_file": "file",
    "credentials_json": "file",
    "service_account": "metadata",
    "metadata_host": "metadata",
}

_METADATA_NAMES: Final = ("service_account", "metadata_host")


def _check_locations(settings: Mapping[str, Any]) -> None:
    names = sorted(name for name in _LOCATIONS if name in settings)
    if len({_LOCATIONS[name] for name in names}) > 1:
        raise ConfigurationError(f"set only one of {', '.join(names)}")
    if {"credentials_file", "credentials_json"} <= set(names):
        raise ConfigurationError("set credentials_file or credentials_json, not both")


def _anonymous(settings: MethodSettings, _: GCPContext) -> GCPMethod:
    return method_for(Anonymous(), settings)


def _token(settings: MethodSettings, _: GCPContext) -> GCPMethod:
    token = settings.explicit.get("token")
    if not token:
        raise ConfigurationError("auth_type 'token' needs token")
    if not (isinstance(token, str | Secret) or callable(token)):
        raise ConfigurationError(f"token must be text or a function that returns it, not {type(token).__name__}")
    identity = SettingToken(token)
    identity.universe_domain = str(settings.get(_UNIVERSE) or UNIVERSE)
    return method_for(identity, settings)


def _metadata(settings: MethodSettings, context: GCPContext) -> GCPMethod:
    allow_http = context.http is not None and context.http.allow_http
    if "metadata_host" in settings.explicit:
        checked_host(str(settings.explicit["metadata_host"]), allow_http=allow_http)

    def signing(universe_domain: str) -> IAM:
        # With a separate token: the scopes of the other one may not allow signing.
        own = {name: settings.explicit[name] for name in _METADATA_NAMES if name in settings.explicit}
        caller = context.credentials(AuthConfig(auth_type="metadata", settings=own))
        return IAM(context.service, caller, str(settings.get("iam_endpoint") or iam_endpoint(universe_domain)))

    server = MetadataServer(
        context.service,
        lambda: str(settings.get("metadata_host") or HOST),
        name=str(settings.explicit.get("service_account") or "default"),
        scopes=split_list(settings.explicit.get("scopes")),
        signing=signing,
        universe_domain=settings.get(_UNIVERSE),
        allow_http=allow_http,
    )
    return method_for(server, settings)


def _document(auth_type: str, settings: MethodSettings, context: GCPContext) -> GCPMethod:
    named = settings.explicit.get("credentials_file")
    source = _FILE_VARIABLE
    if named is not None or "credentials_json" in settings.explicit:
        source = "settings" if named is None else str(named)
    options = _options(settings, context)
    # With a fallback, a missing file is not an error.
    if not context.has_fallback and not _has_document(settings):
        raise ConfigurationError(
            f"auth_type {auth_type!r} needs credentials_file, credentials_json or {_FILE_VARIABLE}"
        )

    async def find() -> Identity:
        if not _has_document(settings):
            raise MissingCredentialsError(f"{_FILE_VARIABLE} is not set")
        document, place = await _read(settings)
        identity = identity_of(document, place, options, context)
        if auth_type not in ("default", identity.auth_type):
            raise ConfigurationError(f"{place} has type {identity.auth_type!r}, not {auth_type!r}")
        return identity

    return GCPMethod.of(auth_type, source, settings, Lookup(find, settings))


def _impersonated(settings: MethodSettings, context: GCPContext) -> GCPMethod:
    auth_type = "impersonated_service_account"
    if "target_principal" not in settings.explicit:
        if foreign := [name for name in ("source", "token", *_METADATA_NAMES) if name in settings.explicit]:
            raise ConfigurationError(
                f"{' and '.join(foreign)} requires an account to impersonate: set target_principal"
            )
        return _document(auth_type, settings, context)
    options = _options(settings, context)
    target = Target(
        str(settings.explicit["target_principal"]),
        options.delegates or (),
        lifetime_of(options.lifetime),
        options.scopes or SCOPES,
    )
    caller = context.credentials(_source(settings))

    async def find() -> Identity:
        # The caller's universe is known once it has a token, which impersonation needs anyway.
        await caller.get()
        universe_domain = str(options.universe_domain or caller.universe_domain)
        iam = IAM(context.service, caller, options.iam_endpoint or iam_endpoint(universe_domain))
        source = f"{target.principal}, with {caller.auth_type} ({caller.source})"
        return Impersonated(iam, target, source, universe_domain=universe_domain)

    return GCPMethod.of(auth_type, target.principal, settings, Lookup(find, settings, caller=caller))


def _default(settings: MethodSettings, context: GCPContext) -> GCPMethod:
    if any(name in settings.explicit for name in ("credentials_file", "credentials_json")):
        return _document("default", settings, context)
    context = replace(context, has_fallback=True)
    options = _options(settings, context)

    async def gcloud_identity() -> Identity:
        file = gcloud_file()
        if not await in_thread(file.is_file):
            raise MissingCredentialsError(f"the file {file} does not exist")
        return identity_of(await in_thread(load_document, file), str(file), options, context)

    async def machine_identity() -> Identity:
        if options.subject is not None:
            raise MissingCredentialsError("the account of a machine cannot act for a subject")
        return await machine.lookup.identity()

    own = TABLE.method("metadata").select(settings.explicit)
    machine = _metadata(own, context)
    links = [
        # Named by where it looks; the document determines the auth_type.
        replace(_document("default", settings, context), auth_type="environment"),
        GCPMethod.of("gcloud", "gcloud's file", settings, Lookup(gcloud_identity, settings)),
        GCPMethod.of("metadata", machine.source, own, IfPresent(machine_identity, own)),
    ]
    return GCPMethod.of("default", ", ".join(link.source for link in links), settings, FirstOf(settings, links))


def _source(settings: MethodSettings) -> AuthConfig:
    source = settings.explicit.get("source")
    names = [name for name in (*_LOCATIONS, "aws_source", "subject_token", _UNIVERSE) if name in settings.explicit]
    if source is None:
        return AuthConfig(settings={name: settings.explicit[name] for name in names})
    if locations := [name for name in names if name in _LOCATIONS]:
        raise ConfigurationError(f"set source or {' and '.join(locations)}, not both")
    return nested_config("source", source)


def _options(settings: MethodSettings, context: GCPContext) -> IdentityOptions:
    aws, lifetime, delegates = (settings.get(name) for name in ("aws_source", "lifetime", "delegates"))
    return IdentityOptions(
        scopes=split_list(settings.get("scopes")) or context.scopes,
        subject=settings.get("subject"),
        self_signed=flag(settings.get("self_signed_jwt") or False),
        delegates=None if delegates is None else split_list(delegates),
        lifetime=None if lifetime is None else lifetime_of(lifetime),
        aws=None if aws is None else nested_config("aws_source", aws),
        subject_token=settings.get("subject_token"),
        universe_domain=settings.get(_UNIVERSE),
        iam_endpoint=settings.get("iam_endpoint"),
    )


def _has_document(settings: MethodSettings) -> bool:
    return "credentials_json" in settings or "credentials_file" in settings


async def _read(settings: MethodSettings) -> tuple[dict[str, Any], str]:
    if "credentials_json" in settings.explicit:
        return parse_document(settings.explicit["credentials_json"]), "settings"
    file = str(settings.get("credentials_file"))
    return await in_thread(load_document, Path(file)), file


_DOCUMENTS: Final = ("service_account", "authorized_user", "external_account_authorized_user", "external_account")

_BUILDERS: Final[Mapping[str, Callable[[MethodSettings, GCPContext], GCPMethod]]] = {
    "default": _default,
    **{name: partial(_document, name) for name in _DOCUMENTS},
    "metadata": _metadata,
    "impersonated_service_account": _impersonated,
    "token": _token,
    "anonymous": _anonymous,
}

TABLE: Final[MethodTable[GCPContext, GCPMethod]] = MethodTable(
    provider="gcs",
    name="Google",
    methods=METHODS,
    builders=_BUILDERS,
    implied={
        "target_principal": "impersonated_service_account",
        "token": "token",
        "service_account": "metadata",
        "metadata_host": "metadata",
    },
    aliases=("gcp", "google", "gs"),
    shared=(_UNIVERSE,),
    check=_check_locations,
)

#: Settings that :func:`gcp_credentials` takes.
SETTINGS: Final = TABLE.setting_names

AUTH_TYPES: Final = TABLE.auth_types

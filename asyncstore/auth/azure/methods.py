"""
The authentication methods of Azure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from asyncstore.auth.azure.access import Access
from asyncstore.auth.azure.account import parse_connection_string
from asyncstore.auth.azure.account_secrets import Fetch, key_fetch, no_access, plain_text, sas_fetch
from asyncstore.auth.azure.applications import CLIENT_CREDENTIALS, check_complete, has_proof
from asyncstore.auth.azure.azure_identity import TokenCredential
from asyncstore.auth.azure.challenge import Challenge
from asyncstore.auth.azure.cli import AzureCLI
from asyncstore.auth.azure.entra import AUTHORITY, Application
from asyncstore.auth.azure.managed_identity import ManagedIdentity
from asyncstore.auth.azure.token import AccessGrant
from asyncstore.auth.methods import SETTINGS_SOURCE, AuthMethod, Chain, Method, MethodSettings, MethodTable, Setting
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_BLOBS: Final = "https://learn.microsoft.com/azure/storage"
_ENTRA: Final = "https://learn.microsoft.com/entra"
_PYTHON: Final = "https://learn.microsoft.com/python/api/overview/azure/identity-readme"

_ACCOUNT: Final = Setting(
    "account_name",
    "the storage account, if the URI does not name it",
    ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    ("azure_account_name",),
    identifies=True,
)
_ANONYMOUS: Final = Setting("anonymous", "whether to send requests without credentials")
_TENANT: Final = Setting(
    "tenant_id",
    "the tenant of the identity: an id or a domain",
    ("AZURE_TENANT_ID",),
    ("azure_tenant_id",),
    identifies=True,
)
_CLIENT: Final = Setting(
    "client_id", "client id of the application", ("AZURE_CLIENT_ID",), ("azure_client_id",), identifies=True
)
_ENTRA_SETTINGS: Final = (
    Setting(
        "authority_host",
        "the token service, over https: `login.microsoftonline.com`, or that of another cloud",
        ("AZURE_AUTHORITY_HOST",),
        ("authority", "azure_authority_host"),
    ),
    Setting(
        "additionally_allowed_tenants",
        "other tenants whose tokens a storage account may request: a list, comma-separated text, or `*` for any",
    ),
    _ACCOUNT,
)
_METADATA: Final = Setting(
    "metadata_endpoint",
    "URL of the machine's metadata service",
    ("AZURE_POD_IDENTITY_AUTHORITY_HOST",),
)
_FEDERATED_FILE: Final = Setting(
    "federated_token_file",
    "file with a token of another identity provider, such as a Kubernetes cluster; read for every token",
    ("AZURE_FEDERATED_TOKEN_FILE",),
    ("azure_federated_token_file",),
)
_CLI_TIMEOUT: Final = Setting("process_timeout", "timeout of the program in seconds: up to 50; by default 10")

# Variables with secrets of the storage account, in order of precedence.
_STORAGE_VARIABLES: Final = (
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)

# Variables that select the managed identity service.
_IDENTITY_VARIABLES: Final = (
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
)

_SECRET_VARIABLES: Final = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
)

METHODS: Final = (
    AuthMethod(
        "default",
        "the first that applies of: the account's own variables (connection_string, account_key, sas), environment, "
        "workload_identity, managed_identity, cli",
        f"{_PYTHON}#defaultazurecredential",
        (
            _ANONYMOUS,
            _TENANT,
            replace(_CLIENT, meaning="client id of the application or the managed identity"),
            *_ENTRA_SETTINGS,
            _METADATA,
            _CLI_TIMEOUT,
        ),
        (
            *_STORAGE_VARIABLES,
            "AZURE_TOKEN_CREDENTIALS",
            *_SECRET_VARIABLES,
            *_FEDERATED_FILE.variables,
            *_IDENTITY_VARIABLES,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "account_key",
        "the account key, which signs each request",
        f"{_BLOBS}/common/storage-account-keys-manage",
        (
            Setting(
                "account_key",
                "the key, copied from the portal; text, a `Secret` or a function",
                ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
                ("azure_account_key",),
                secret=True,
            ),
            _ACCOUNT,
        ),
    ),
    AuthMethod(
        "sas",
        "a shared access signature; one from a function is refreshed before it expires",
        f"{_BLOBS}/common/storage-sas-overview",
        (
            Setting(
                "sas_token",
                "the SAS token: the query of a signed URL; text, a `Secret` or a function",
                ("AZURE_STORAGE_SAS_TOKEN",),
                ("azure_sas_token",),
                secret=True,
            ),
            _ACCOUNT,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "connection_string",
        "the account key or SAS token in a connection string, and its endpoint",
        f"{_BLOBS}/common/storage-configure-connection-string",
        (
            Setting(
                "connection_string",
                "the connection string, copied from the portal",
                ("AZURE_STORAGE_CONNECTION_STRING",),
                ("azure_connection_string",),
                secret=True,
            ),
            _ACCOUNT,
        ),
    ),
    AuthMethod(
        "anonymous",
        "no credentials, for public containers",
        f"{_BLOBS}/blobs/anonymous-read-access-overview",
        (_ANONYMOUS, _ACCOUNT),
    ),
    AuthMethod(
        "environment",
        "client_secret or client_certificate, whichever the variables are set for",
        f"{_PYTHON}#environment-variables",
        (_TENANT, _CLIENT, *_ENTRA_SETTINGS),
        _SECRET_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "client_secret",
        "the client secret of a Microsoft Entra application",
        f"{_ENTRA}/identity-platform/v2-oauth2-client-creds-grant-flow#first-case-access-token-request-with-a-shared-secret",
        (
            _TENANT,
            _CLIENT,
            Setting(
                "client_secret",
                "the secret; text, a `Secret` or a function",
                ("AZURE_CLIENT_SECRET",),
                ("azure_client_secret",),
                secret=True,
            ),
            *_ENTRA_SETTINGS,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "client_certificate",
        "the certificate of a Microsoft Entra application",
        f"{_ENTRA}/identity-platform/certificate-credentials",
        (
            _TENANT,
            _CLIENT,
            Setting(
                "certificate_path",
                "PEM or PKCS#12 file with an RSA key and its certificate; read for every token",
                ("AZURE_CLIENT_CERTIFICATE_PATH",),
                ("azure_client_certificate_path",),
            ),
            Setting(
                "certificate_data",
                "the content, instead of the file: bytes or text, a `Secret` or a function",
                secret=True,
            ),
            Setting(
                "certificate_password",
                "the password of the key; text, a `Secret` or a function",
                ("AZURE_CLIENT_CERTIFICATE_PASSWORD",),
                ("azure_client_certificate_password",),
                secret=True,
            ),
            Setting(
                "send_certificate_chain",
                "whether to send the certificate chain (x5c), for subject name and issuer authentication",
                ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",),
            ),
            *_ENTRA_SETTINGS,
        ),
        refreshes=True,
        extra="azure",
    ),
    AuthMethod(
        "managed_identity",
        "the identity of a virtual machine, app, function, cluster, Cloud Shell or Azure Arc server",
        f"{_ENTRA}/identity/managed-identities-azure-resources/how-to-use-vm-token",
        (
            replace(_CLIENT, meaning="client id of a user-assigned identity", variables=()),
            Setting("object_id", "object id of a user-assigned identity", identifies=True),
            Setting("resource_id", "Azure resource id of a user-assigned identity", identifies=True),
            _METADATA,
            _ACCOUNT,
        ),
        _IDENTITY_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "workload_identity",
        "a token of another identity provider, such as a Kubernetes cluster, that an application trusts",
        f"{_ENTRA}/workload-id/workload-identity-federation",
        (_TENANT, _CLIENT, _FEDERATED_FILE, *_ENTRA_SETTINGS),
        refreshes=True,
    ),
    AuthMethod(
        "cli",
        "the account that is logged in with `az login`",
        "https://learn.microsoft.com/cli/azure/account#az-account-get-access-token",
        (
            replace(_TENANT, meaning="the tenant, instead of the current one", variables=()),
            Setting("subscription", "the subscription whose account is used, instead of the current one"),
            _CLI_TIMEOUT,
            _ACCOUNT,
        ),
        ("PATH",),
        refreshes=True,
    ),
    AuthMethod(
        "token",
        "an azure-identity credential, or an object with the same interface; a blocking one runs in a thread",
        f"{_PYTHON}#credential-classes",
        (Setting("credential", "the credential object; it is not closed", secret=True), _ACCOUNT),
        refreshes=True,
    ),
)


# The methods that use a secret of the account itself, and the setting of each.
_ACCOUNT_SECRETS: Final = {"connection_string": "connection_string", "account_key": "account_key", "sas": "sas_token"}

# The links of the default chain, with the names that azure-identity uses for them:
# https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains#defaultazurecredential-overview
_DEFAULT: Final = {
    "environment": "environmentcredential",
    "workload_identity": "workloadidentitycredential",
    "managed_identity": "managedidentitycredential",
    "cli": "azureclicredential",
}
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "prod": ("environment", "workload_identity", "managed_identity"),
    "dev": ("cli",),
}


@dataclass(frozen=True, slots=True)
class AzureContext:
    """
    What all methods of one configuration share.

    Attributes:
        challenge: What the storage service asks of the next token.
        account: The storage account of the URI.
        authority: The token service of the account's cloud.
    """

    service: TokenService
    challenge: Challenge
    account: str | None = None
    authority: str = AUTHORITY


@dataclass(frozen=True, slots=True)
class AzureMethod(Method[Access | None]):
    """
    One way to access Azure Storage.

    Attributes:
        account: The storage account, if settings or environment name it.
        endpoint: The Blob endpoint of a connection string.
    """

    account: str | None = None
    endpoint: str | None = None


def _account(settings: MethodSettings, context: AzureContext, *others: str | None) -> str | None:
    """Return the account that settings and URI name, else that of the environment."""
    return _one_account(settings.explicit.get("account_name"), context.account, *others) or settings.get("account_name")


def _account_of_secret(settings: MethodSettings, context: AzureContext, name: str) -> str | None:
    """Return the account of a secret; one of the environment belongs to the account that the environment names."""
    if settings.source(name) == SETTINGS_SOURCE:
        return _account(settings, context)
    return _account(settings, context, replace(settings, explicit={}).get("account_name"))


def _one_account(*found: str | None) -> str | None:
    names = sorted({name for name in found if name})
    if len(names) > 1:
        raise ConfigurationError(
            f"the configuration names two storage accounts: {' and '.join(names)}; a key or signature is sent only to "
            "its own account, and az:// names the account first: azure://container/key names none"
        )
    return names[0] if names else None


def _source(settings: MethodSettings, name: str) -> str:
    return SETTINGS_SOURCE if settings.source(name) == SETTINGS_SOURCE else "environment"


def _value(settings: MethodSettings, auth_type: str, name: str) -> Any:
    value = settings.get(name)
    if value is None:
        raise ConfigurationError(f"auth_type {auth_type!r} needs {name}")
    return value


def _anonymous(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    account = _account(settings, context)
    return AzureMethod("anonymous", SETTINGS_SOURCE, settings, no_access, account, fixed=True)


def _account_key(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    value = _value(settings, "account_key", "account_key")
    account = _account_of_secret(settings, context, "account_key")
    source, fetch = _source(settings, "account_key"), key_fetch(account, value)
    return AzureMethod("account_key", source, settings, fetch, account, fixed=not callable(value))


def _sas(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    value = _value(settings, "sas", "sas_token")
    source, fetch = _source(settings, "sas_token"), sas_fetch(value)
    account = _account_of_secret(settings, context, "sas_token")
    return AzureMethod("sas", source, settings, fetch, account, fixed=not callable(value))


def _connection_string(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    text = _value(settings, "connection_string", "connection_string")
    parsed = parse_connection_string(plain_text("connection_string", text))
    # Ignores the account in the environment: a string with a custom domain may name none.
    own = MethodSettings(settings.explicit, tuple(replace(setting, variables=()) for setting in settings.declared))
    account = _account(own, context, parsed.account)
    fetch: Fetch = no_access
    if parsed.key is not None:
        fetch = key_fetch(account, parsed.key)
    elif parsed.sas is not None:
        fetch = sas_fetch(parsed.sas)
    auth_type = "anonymous" if fetch is no_access else "connection_string"
    source = _source(settings, "connection_string")
    return AzureMethod(auth_type, source, settings, fetch, account, parsed.endpoint, fixed=True)


def _token(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    credential = _value(settings, "token", "credential")
    fetch = TokenCredential(credential, context.challenge).fetch
    return AzureMethod("token", type(credential).__name__, settings, fetch, _account(settings, context))


def _complete_application(auth_type: str, settings: MethodSettings, context: AzureContext) -> AzureMethod:
    check_complete(settings, auth_type)
    return _application(auth_type, settings, context)


def _application(auth_type: str, settings: MethodSettings, context: AzureContext) -> AzureMethod:
    """Return an application's method, which reports missing settings when a token is requested."""
    application = Application(settings, context.service, context.challenge, context.authority)
    client_id = settings.get("client_id")
    source = "the environment" if client_id is None else f"the application {client_id}"
    fetch = CLIENT_CREDENTIALS[auth_type](settings, application).fetch
    return AzureMethod(auth_type, source, settings, fetch, _account(settings, context))


def _environment(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    methods = [
        _application(kind, TABLE.method(kind).select(settings.explicit), context)
        for kind in ("client_secret", "client_certificate")
    ]

    async def fetch() -> AccessGrant:
        for method in methods:
            if has_proof(method.settings, method.auth_type):
                return replace(await method.fetch(), source=f"{method.source}, by {method.auth_type}")
        raise MissingCredentialsError("neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set")

    return AzureMethod("environment", "environment", settings, fetch, _account(settings, context))


def _managed_identity(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    fetch = ManagedIdentity(settings, context.service).fetch
    return AzureMethod("managed_identity", "the machine's identity", settings, fetch, _account(settings, context))


def _cli(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    fetch = AzureCLI(settings, context.challenge).fetch
    return AzureMethod("cli", "the account of az login", settings, fetch, _account(settings, context))


def _default(settings: MethodSettings, context: AzureContext) -> AzureMethod:
    names = _link_names()
    links = [_no_account_secret(settings), *(_link(name, settings, context) for name in names)]
    chain: Chain[AzureMethod, Access | None] = Chain(links, name="Azure", provider="azure", strict=True)

    async def fetch() -> AccessGrant:
        grant = await chain.fetch()
        found = chain.found or links[0]
        return replace(grant, source=f"{found.auth_type}: {grant.source or found.source}")

    return AzureMethod("default", ", ".join(names), settings, fetch, _account(settings, context))


def _no_account_secret(settings: MethodSettings) -> AzureMethod:
    # Only for the message: if an account secret were set, its method would have been chosen.
    async def fetch() -> AccessGrant:
        raise MissingCredentialsError(
            "none of the settings connection_string, account_key, sas_token, credential and anonymous is set, and none "
            f"of the variables {', '.join(_STORAGE_VARIABLES)}"
        )

    return AzureMethod("account", SETTINGS_SOURCE, settings, fetch)


def _link_names() -> tuple[str, ...]:
    wanted = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    if not wanted:
        return tuple(_DEFAULT)
    names: dict[str, tuple[str, ...]] = {**_KINDS, **{kind: (name,) for name, kind in _DEFAULT.items()}}
    if wanted not in names:
        raise ConfigurationError(f"AZURE_TOKEN_CREDENTIALS must be one of {', '.join(names)}, not {wanted!r}")
    return names[wanted]


def _link(auth_type: str, settings: MethodSettings, context: AzureContext) -> AzureMethod:
    own = TABLE.method(auth_type).select(settings.explicit)
    if auth_type == "environment":
        return _environment(own, context)
    if auth_type == "workload_identity":
        return _application(auth_type, own, context)
    if auth_type == "cli":
        return _cli(own, context).optional(UnauthenticatedError)
    # Only in this chain does AZURE_CLIENT_ID also select the managed identity.
    client_id = settings.get("client_id")
    named = own if client_id is None else replace(own, explicit={**own.explicit, "client_id": client_id})
    return _managed_identity(named, context).optional()


def _account_secret(settings: Mapping[str, Any]) -> str:
    """Return the method of the account secret in the environment, if the settings name no identity."""
    if set(settings) - {"account_name"}:
        return "default"
    found = (kind for kind, name in _ACCOUNT_SECRETS.items() if name in TABLE.method(kind).select(settings))
    return next(found, "default")


_BUILDERS: Final[Mapping[str, Callable[[MethodSettings, AzureContext], AzureMethod]]] = {
    "default": _default,
    "account_key": _account_key,
    "sas": _sas,
    "connection_string": _connection_string,
    "anonymous": _anonymous,
    "environment": _environment,
    **{name: partial(_complete_application, name) for name in CLIENT_CREDENTIALS},
    "managed_identity": _managed_identity,
    "cli": _cli,
    "token": _token,
}

TABLE: Final[MethodTable[AzureContext, AzureMethod]] = MethodTable(
    provider="azure",
    name="Azure",
    methods=METHODS,
    builders=_BUILDERS,
    implied={
        "connection_string": "connection_string",
        "credential": "token",
        "account_key": "account_key",
        "sas_token": "sas",
        "client_secret": "client_secret",
        "certificate_path": "client_certificate",
        "certificate_data": "client_certificate",
        "federated_token_file": "workload_identity",
        "object_id": "managed_identity",
        "resource_id": "managed_identity",
        "subscription": "cli",
    },
    aliases=("az",),
    fallback=_account_secret,
)

#: Settings that :func:`azure_credentials` takes.
SETTINGS: Final = TABLE.setting_names

AUTH_TYPES: Final = TABLE.auth_types

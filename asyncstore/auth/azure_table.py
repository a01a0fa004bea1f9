"""
The methods of Azure, with all that they take: the source of checks and of the reference.
"""

from __future__ import annotations

from typing import Final

from asyncstore.auth.method import AuthMethod, Setting

_BLOBS: Final = "https://learn.microsoft.com/azure/storage"
_ENTRA: Final = "https://learn.microsoft.com/entra"
_PYTHON: Final = "https://learn.microsoft.com/python/api/overview/azure/identity-readme"

_ACCOUNT: Final = Setting(
    "account_name",
    "the storage account, where the URI does not name it",
    ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    ("azure_account_name",),
)
_ANONYMOUS: Final = Setting("anonymous", "whether requests go out bare")
_TENANT: Final = Setting(
    "tenant_id", "the directory that the identity is in: an id or a domain", ("AZURE_TENANT_ID",), ("azure_tenant_id",)
)
_CLIENT: Final = Setting("client_id", "the application", ("AZURE_CLIENT_ID",), ("azure_client_id",))
_ENTRA_SETTINGS: Final = (
    Setting(
        "authority_host",
        "where tokens are asked for, over https: `login.microsoftonline.com`, or that of another cloud",
        ("AZURE_AUTHORITY_HOST",),
        ("authority", "azure_authority_host"),
    ),
    Setting(
        "additionally_allowed_tenants",
        "other directories that a storage may ask for tokens of: a list, text with commas between, or `*` for any",
    ),
    _ACCOUNT,
)
_METADATA: Final = Setting(
    "metadata_endpoint",
    "address of the machine's metadata service",
    ("AZURE_POD_IDENTITY_AUTHORITY_HOST",),
)
_FEDERATED_FILE: Final = Setting(
    "federated_token_file",
    "token of another identity provider, such as a Kubernetes cluster; read again each time",
    ("AZURE_FEDERATED_TOKEN_FILE",),
    ("azure_federated_token_file",),
)
_CLI_TIMEOUT: Final = Setting("process_timeout", "seconds until the program is killed: up to 50; by default 10")

#: Variables of the storage account's own secrets, in the order in which they count.
STORAGE_VARIABLES: Final = (
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)

#: Variables that say where a managed identity's tokens come from.
IDENTITY_VARIABLES: Final = (
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
        "the account's own variables (connection_string, account_key, sas), or else environment, workload_identity, "
        "managed_identity, cli: the first that applies",
        f"{_PYTHON}#defaultazurecredential",
        (
            _ANONYMOUS,
            _TENANT,
            Setting("client_id", "the application, and the managed identity", ("AZURE_CLIENT_ID",), _CLIENT.aliases),
            *_ENTRA_SETTINGS,
            _METADATA,
            _CLI_TIMEOUT,
        ),
        (
            *STORAGE_VARIABLES,
            "AZURE_TOKEN_CREDENTIALS",
            *_SECRET_VARIABLES,
            *_FEDERATED_FILE.variables,
            *IDENTITY_VARIABLES,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "account_key",
        "the account's key signs each request",
        f"{_BLOBS}/common/storage-account-keys-manage",
        (
            Setting(
                "account_key",
                "as the portal shows it; text, a `Secret` or a function",
                ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
                ("azure_account_key",),
                secret=True,
            ),
            _ACCOUNT,
        ),
    ),
    AuthMethod(
        "sas",
        "a shared access signature; one from a function is renewed before it ends",
        f"{_BLOBS}/common/storage-sas-overview",
        (
            Setting(
                "sas_token",
                "the query that a signed URL ends with; text, a `Secret` or a function",
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
        "whichever of the two it holds, and where the account is",
        f"{_BLOBS}/common/storage-configure-connection-string",
        (
            Setting(
                "connection_string",
                "as the portal shows it",
                ("AZURE_STORAGE_CONNECTION_STRING",),
                ("azure_connection_string",),
                secret=True,
            ),
            _ACCOUNT,
        ),
    ),
    AuthMethod(
        "anonymous", "public containers", f"{_BLOBS}/blobs/anonymous-read-access-overview", (_ANONYMOUS, _ACCOUNT)
    ),
    AuthMethod(
        "environment",
        "client_secret or client_certificate, whichever the variables are there for",
        f"{_PYTHON}#environment-variables",
        (_TENANT, _CLIENT, *_ENTRA_SETTINGS),
        _SECRET_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "client_secret",
        "an application of Microsoft Entra, by its secret",
        f"{_ENTRA}/identity-platform/v2-oauth2-client-creds-grant-flow#first-case-access-token-request-with-a-shared-secret",
        (
            _TENANT,
            _CLIENT,
            Setting(
                "client_secret",
                "its password; text, a `Secret` or a function",
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
        "an application of Microsoft Entra, by a certificate",
        f"{_ENTRA}/identity-platform/certificate-credentials",
        (
            _TENANT,
            _CLIENT,
            Setting(
                "certificate_path",
                "PEM or PKCS#12 with an RSA key and its certificate; read again each time",
                ("AZURE_CLIENT_CERTIFICATE_PATH",),
                ("azure_client_certificate_path",),
            ),
            Setting(
                "certificate_data",
                "the same in place of the file: bytes or text, a `Secret` or a function",
                secret=True,
            ),
            Setting(
                "certificate_password",
                "of the key; text, a `Secret` or a function",
                ("AZURE_CLIENT_CERTIFICATE_PASSWORD",),
                ("azure_client_certificate_password",),
                secret=True,
            ),
            Setting(
                "send_certificate_chain",
                "whether to send the certificates along (x5c), for trust by subject name and issuer",
                ("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",),
            ),
            *_ENTRA_SETTINGS,
        ),
        refreshes=True,
        extra="azure",
    ),
    AuthMethod(
        "managed_identity",
        "the identity of a virtual machine, an app, a function, a cluster, a cloud shell or a server on Azure Arc",
        f"{_ENTRA}/identity/managed-identities-azure-resources/how-to-use-vm-token",
        (
            Setting("client_id", "the user-assigned identity, by its application", aliases=_CLIENT.aliases),
            Setting("object_id", "the same, by its object"),
            Setting("resource_id", "the same, by its path in Azure Resource Manager"),
            _METADATA,
            _ACCOUNT,
        ),
        IDENTITY_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "workload_identity",
        "an application that trusts another identity provider, such as a Kubernetes cluster",
        f"{_ENTRA}/workload-id/workload-identity-federation",
        (_TENANT, _CLIENT, _FEDERATED_FILE, *_ENTRA_SETTINGS),
        refreshes=True,
    ),
    AuthMethod(
        "cli",
        "whoever logged in by `az login`",
        "https://learn.microsoft.com/cli/azure/account#az-account-get-access-token",
        (
            Setting("tenant_id", "the directory to ask for, instead of the current one", aliases=_TENANT.aliases),
            Setting("subscription", "the subscription whose account asks, instead of the current one"),
            _CLI_TIMEOUT,
            _ACCOUNT,
        ),
        ("PATH",),
        refreshes=True,
    ),
    AuthMethod(
        "token",
        "a credential of azure-identity, or what looks like one; a blocking one is asked in a thread",
        f"{_PYTHON}#credential-classes",
        (Setting("credential", "left open", secret=True), _ACCOUNT),
        refreshes=True,
    ),
)

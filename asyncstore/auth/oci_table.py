"""
The methods of OCI, with all that they take: the source of checks and of the reference.
"""

from __future__ import annotations

from typing import Final

from asyncstore.auth.method import AuthMethod, Setting

_DOCS: Final = "https://docs.oracle.com/iaas/Content"
_METHODS: Final = f"{_DOCS}/API/Concepts/sdk_authentication_methods.htm"

_ANONYMOUS: Final = Setting("anonymous", "whether requests stay unsigned")
_REGION_VARIABLES: Final = ("OCI_REGION", "OCI_CLI_REGION")
_KEY_FILE: Final = Setting("key_file", "the private key, in PEM", ("OCI_CLI_KEY_FILE",))
_KEY_CONTENT: Final = Setting(
    "key_content", "the private key itself, as text or a `Secret`", ("OCI_CLI_KEY_CONTENT",), secret=True
)
_PASS_PHRASE: Final = Setting("pass_phrase", "opens the private key", ("OCI_CLI_PASSPHRASE",), secret=True)
_PROFILE: Final = (
    # A profile of asyncstore's own is called "profile" already, where settings are flat.
    Setting(
        "config_file",
        "the file of profiles, instead of `~/.oci/config`",
        ("OCI_CONFIG_FILE", "OCI_CLI_CONFIG_FILE", "OCI_CONFIG_PATH"),
        ("config_path",),
    ),
    Setting("profile", "the profile, instead of `DEFAULT`", ("OCI_CLI_PROFILE", "OCI_PROFILE"), ("oci_profile",)),
)
_IDENTITY: Final = (
    Setting("tenancy", "OCID of the tenancy", ("OCI_CLI_TENANCY",)),
    Setting("user", "OCID of the user", ("OCI_CLI_USER",)),
    Setting("fingerprint", "of the public key", ("OCI_CLI_FINGERPRINT",)),
)
_SESSION_FILE: Final = Setting(
    "security_token_file", "token of a session, read again as it changes", ("OCI_CLI_SECURITY_TOKEN_FILE",)
)
_FILES: Final = (*_PROFILE, *_IDENTITY, _KEY_FILE, _KEY_CONTENT, _PASS_PHRASE, _SESSION_FILE, _ANONYMOUS)

_METADATA: Final = (
    Setting("metadata_url", "address of the instance's metadata service, with `/opc/v2`", ("OCI_METADATA_BASE_URL",)),
    Setting("federation_endpoint", "where session tokens are asked for, with its path, instead of the region's own"),
)
_RESOURCE: Final = (
    Setting("resource_principal_version", "`2.2`, `2.1.2`, `2.1.1` or `2.1`", ("OCI_RESOURCE_PRINCIPAL_VERSION",)),
    Setting(
        "session_token",
        "2.2: the session token (RPST), or the absolute path of its file, read again as it changes",
        ("OCI_RESOURCE_PRINCIPAL_RPST",),
        secret=True,
    ),
    Setting(
        "private_key",
        "the private key in PEM, or the absolute path of its file",
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",),
        secret=True,
    ),
    Setting(
        "pass_phrase",
        "opens the private key: itself, or the absolute path of its file",
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",),
        secret=True,
    ),
    Setting("rpt_endpoint", "2.1: the service that the resource is of", ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT",)),
    Setting("rpt_path", "2.1.2: path of its token, before the resource", ("OCI_RESOURCE_PRINCIPAL_RPT_PATH",)),
    Setting("rpst_endpoint", "2.1: where session tokens are given", ("OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT",)),
    Setting("resource_id", "2.1: OCID of the resource", ("OCI_RESOURCE_PRINCIPAL_RESOURCE_ID",)),
    Setting("tenancy", "2.1.1 and 2.1.2: OCID of its tenancy", ("OCI_RESOURCE_PRINCIPAL_TENANCY_ID",)),
    Setting(
        "security_context",
        "2.1.2: sent along with the first request",
        ("OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT",),
        secret=True,
    ),
)
_RESOURCE_REGION: Final = ("OCI_RESOURCE_PRINCIPAL_REGION",)

METHODS: Final = (
    AuthMethod(
        "default",
        "the method that `OCI_CLI_AUTH` names; else the environment or a profile, resource_principal, "
        "oke_workload_identity, instance_principal: the first that applies",
        f"{_DOCS}/API/SDKDocs/clienvironmentvariables.htm",
        _FILES,
        ("OCI_CLI_AUTH", *_REGION_VARIABLES, *_RESOURCE_REGION, "KUBERNETES_SERVICE_HOST"),
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "user_principal",
        "a user's own signing key, from settings, the environment or a profile",
        f"{_DOCS}/API/Concepts/apisigningkey.htm",
        _FILES,
        _REGION_VARIABLES,
        extra="oci",
    ),
    AuthMethod(
        "session_token",
        "a session of `oci session authenticate`, whose files are read again as they change",
        f"{_DOCS}/API/SDKDocs/clitoken.htm",
        _FILES,
        _REGION_VARIABLES,
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "instance_principal",
        "the certificate of a compute instance, from its metadata service",
        f"{_DOCS}/Identity/Tasks/callingservicesfrominstances.htm",
        (*_METADATA, _ANONYMOUS),
        _REGION_VARIABLES,
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "resource_principal",
        "what OCI gives to a function, a job or a notebook, in variables, files or from a service",
        f"{_METHODS}#sdk_authentication_methods_resource_principal",
        (*_RESOURCE, _ANONYMOUS),
        (*_RESOURCE_REGION, *_REGION_VARIABLES),
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "oke_workload_identity",
        "the service account of a pod in an enhanced OKE cluster",
        f"{_DOCS}/ContEng/Tasks/contenggrantingworkloadaccesstoresources.htm",
        (
            Setting("kubernetes_service_host", "address of the cluster's own API", ("KUBERNETES_SERVICE_HOST",)),
            Setting("workload_identity_port", "port there that gives session tokens: 12250"),
            Setting("service_account_token", "the token itself: text, a `Secret` or a function", secret=True),
            Setting("service_account_token_file", "its file, instead of the pod's own; read again each time"),
            Setting(
                "service_account_cert_file",
                "whom to trust there, instead of the pod's own file",
                ("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH",),
            ),
            _ANONYMOUS,
        ),
        (*_RESOURCE_REGION, *_REGION_VARIABLES),
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "delegation_token",
        "a user's token, over an instance or resource principal that acts for them",
        f"{_DOCS}/API/Concepts/cloudshellintro.htm",
        (
            Setting("delegation_token", "the token: text, a `Secret` or a function", secret=True),
            Setting("delegation_token_file", "its file, read again each time", ("OCI_CLI_DELEGATION_TOKEN_FILE",)),
            Setting("principal", "who acts: `instance_principal`, the default, or `resource_principal`"),
            *_METADATA,
            *_RESOURCE,
            _ANONYMOUS,
        ),
        (*_RESOURCE_REGION, *_REGION_VARIABLES),
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "anonymous",
        "requests are not signed, for public buckets",
        f"{_DOCS}/Object/Tasks/managingbuckets.htm",
        (_ANONYMOUS,),
        _REGION_VARIABLES,
    ),
)

#: What Oracle's own tools call them in ``OCI_CLI_AUTH`` and in profiles, and OME in its settings.
TYPE_ALIASES: Final = {
    "api_key": "user_principal",
    "security_token": "session_token",
    "instance_obo_user": "delegation_token",
    "delegation_token_with_instance_principal": "delegation_token",
    "OCIUserPrincipal": "user_principal",
    "OCISessionToken": "session_token",
    "OCIInstancePrincipal": "instance_principal",
    "OCIResourcePrincipal": "resource_principal",
    "OCIOkeWorkloadIdentity": "oke_workload_identity",
}

"""
The authentication methods of OCI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import anyio.to_thread

from asyncstore.auth.methods import AuthMethod, MethodSettings, MethodTable, Setting
from asyncstore.auth.oci import profile as oci_profile
from asyncstore.auth.oci.default import TYPE_ALIASES, DefaultChain, OCIMethod
from asyncstore.auth.oci.delegation import check_delegation, read_delegation_token, with_delegation
from asyncstore.auth.oci.instance import InstancePrincipal
from asyncstore.auth.oci.resource import ResourcePrincipal
from asyncstore.auth.oci.session import KeyGrant
from asyncstore.auth.oci.workload import WorkloadIdentity
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant
from asyncstore.errors import ConfigurationError

_DOCS: Final = "https://docs.oracle.com/iaas/Content"
_METHODS: Final = f"{_DOCS}/API/Concepts/sdk_authentication_methods.htm"

_ANONYMOUS: Final = Setting("anonymous", "whether to send requests unsigned")
_REGION_VARIABLES: Final = ("OCI_REGION", "OCI_CLI_REGION")
_KEY_FILE: Final = Setting("key_file", "file with the private key, in PEM", ("OCI_CLI_KEY_FILE",))
_KEY_CONTENT: Final = Setting(
    "key_content", "the private key, as text or a `Secret`", ("OCI_CLI_KEY_CONTENT",), secret=True
)
_PASS_PHRASE: Final = Setting("pass_phrase", "passphrase of the private key", ("OCI_CLI_PASSPHRASE",), secret=True)
_PROFILE: Final = (
    # The alias avoids confusion with asyncstore's own profiles, where settings are flat.
    Setting(
        "config_file",
        "the configuration file, instead of `~/.oci/config`",
        ("OCI_CONFIG_FILE", "OCI_CLI_CONFIG_FILE", "OCI_CONFIG_PATH"),
        ("config_path",),
    ),
    Setting(
        "profile",
        "the profile, instead of `DEFAULT`",
        ("OCI_CLI_PROFILE", "OCI_PROFILE"),
        ("oci_profile",),
        identifies=True,
    ),
)
_IDENTITY: Final = (
    Setting("tenancy", "OCID of the tenancy", ("OCI_CLI_TENANCY",), identifies=True),
    Setting("user", "OCID of the user", ("OCI_CLI_USER",), identifies=True),
    Setting("fingerprint", "fingerprint of the public key", ("OCI_CLI_FINGERPRINT",)),
)
_SESSION_FILE: Final = Setting(
    "security_token_file", "file with a session token; read again when it changes", ("OCI_CLI_SECURITY_TOKEN_FILE",)
)
_FILES: Final = (*_PROFILE, *_IDENTITY, _KEY_FILE, _KEY_CONTENT, _PASS_PHRASE, _SESSION_FILE, _ANONYMOUS)

_METADATA: Final = (
    Setting("metadata_url", "URL of the instance's metadata service, with `/opc/v2`", ("OCI_METADATA_BASE_URL",)),
    Setting("federation_endpoint", "URL of the token service, with its path, instead of that of the region"),
)
_RESOURCE: Final = (
    Setting("resource_principal_version", "`2.2`, `2.1.2`, `2.1.1` or `2.1`", ("OCI_RESOURCE_PRINCIPAL_VERSION",)),
    Setting(
        "session_token",
        "2.2: the session token (RPST), or the absolute path of its file, which is read again when it changes",
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
        "passphrase of the private key, or the absolute path of its file",
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",),
        secret=True,
    ),
    Setting("rpt_endpoint", "2.1: URL of the resource's service", ("OCI_RESOURCE_PRINCIPAL_RPT_ENDPOINT",)),
    Setting(
        "rpt_path", "2.1.2: path of the resource's token, without the resource id", ("OCI_RESOURCE_PRINCIPAL_RPT_PATH",)
    ),
    Setting("rpst_endpoint", "2.1: URL of the token service", ("OCI_RESOURCE_PRINCIPAL_RPST_ENDPOINT",)),
    Setting("resource_id", "2.1: OCID of the resource", ("OCI_RESOURCE_PRINCIPAL_RESOURCE_ID",), identifies=True),
    Setting("tenancy", "2.1.1 and 2.1.2: OCID of its tenancy", ("OCI_RESOURCE_PRINCIPAL_TENANCY_ID",), identifies=True),
    Setting(
        "security_context",
        "2.1.2: sent with the first request",
        ("OCI_RESOURCE_PRINCIPAL_SECURITY_CONTEXT",),
        secret=True,
    ),
)
_RESOURCE_REGION: Final = ("OCI_RESOURCE_PRINCIPAL_REGION",)

METHODS: Final = (
    AuthMethod(
        "default",
        "the method that `OCI_CLI_AUTH` names; else the first that applies of: the environment or a profile, "
        "resource_principal, oke_workload_identity, instance_principal",
        f"{_DOCS}/API/SDKDocs/clienvironmentvariables.htm",
        _FILES,
        ("OCI_CLI_AUTH", *_REGION_VARIABLES, *_RESOURCE_REGION, "KUBERNETES_SERVICE_HOST"),
        refreshes=True,
        extra="oci",
    ),
    AuthMethod(
        "user_principal",
        "the API signing key of a user, from settings, the environment or a profile",
        f"{_DOCS}/API/Concepts/apisigningkey.htm",
        _FILES,
        _REGION_VARIABLES,
        extra="oci",
    ),
    AuthMethod(
        "session_token",
        "a session of `oci session authenticate`, whose files are read again when they change",
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
        "the principal of a function, job or notebook, from variables, files or a service",
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
            Setting("kubernetes_service_host", "address of the cluster's API", ("KUBERNETES_SERVICE_HOST",)),
            Setting("workload_identity_port", "port of the cluster's token service; by default 12250"),
            Setting("service_account_token", "the token: text, a `Secret` or a function", secret=True),
            Setting(
                "service_account_token_file", "file with the token, instead of the pod's own; read for every request"
            ),
            Setting(
                "service_account_cert_file",
                "CA certificates of the cluster, instead of the pod's own file",
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
        "the token of a user, on whose behalf an instance or resource principal acts",
        f"{_DOCS}/API/Concepts/cloudshellintro.htm",
        (
            Setting("delegation_token", "the token: text, a `Secret` or a function", secret=True),
            Setting(
                "delegation_token_file",
                "file with the token; read for every request",
                ("OCI_CLI_DELEGATION_TOKEN_FILE",),
            ),
            Setting("principal", "the principal that acts: `instance_principal` (default) or `resource_principal`"),
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
        "unsigned requests, for public buckets",
        f"{_DOCS}/Object/Tasks/managingbuckets.htm",
        (_ANONYMOUS,),
        _REGION_VARIABLES,
    ),
)

_PRINCIPALS: Final = ("instance_principal", "resource_principal")


@dataclass(frozen=True, slots=True)
class OCIContext:
    """
    What all methods of one configuration share.
    """

    region: str | None
    service: TokenService
    allow_http: bool = False


def _anonymous(settings: MethodSettings, _: OCIContext) -> OCIMethod:
    async def fetch() -> KeyGrant:
        return Grant(None)

    async def region() -> str | None:
        return oci_profile.region_of_environment()

    return OCIMethod("anonymous", "settings", settings, fetch, region)


def _of_profile(auth_type: str, settings: MethodSettings, context: OCIContext) -> OCIMethod:
    wanted = oci_profile.IdentitySettings(auth_type, settings)
    wanted.check()
    if wanted.inline:
        # The environment does not complete an identity in the settings.
        settings = replace(settings, declared=tuple(replace(setting, variables=()) for setting in settings.declared))
    others: dict[str, OCIMethod] = {}

    async def fetch() -> KeyGrant:
        identity = await anyio.to_thread.run_sync(oci_profile.find_identity, wanted)
        named = str(identity.values.get("authentication_type") or "")
        named = TYPE_ALIASES.get(named, named)
        if auth_type != "default" or named not in _PRINCIPALS:
            return await anyio.to_thread.run_sync(oci_profile.load_keys, auth_type, identity)
        # Like the profile of Cloud Shell.
        file = identity.values.get("delegation_token_file")
        if named not in others:
            own = {"delegation_token_file": file, "principal": named} if file else {}
            others[named] = TABLE.choose("delegation_token" if file else named, own, context)
        grant = await others[named].fetch()
        return replace(grant, source=f"{identity.source}: {grant.source or others[named].source}")

    async def region() -> str | None:
        named = oci_profile.region_of_environment()
        named = named or await anyio.to_thread.run_sync(oci_profile.find_region, wanted)
        for other in others.values():
            named = named or await other.region()
        return named

    async def domain(name: str) -> str | None:
        found = [await other.domain(name) for other in others.values() if other.domain is not None]
        return next(iter(found), None)

    return OCIMethod(auth_type, wanted.source, settings, fetch, region, domain)


def _instance_principal(settings: MethodSettings, context: OCIContext) -> OCIMethod:
    principal = InstancePrincipal(settings, context.service, region=context.region, allow_http=context.allow_http)

    async def region() -> str | None:
        return oci_profile.region_of_environment() or (await principal.location()).region

    async def domain(name: str) -> str | None:
        location = await principal.location()
        return location.domain if location.region == name else None

    source = "the instance's metadata service"
    return OCIMethod("instance_principal", source, settings, principal.fetch, region, domain)


def _resource_principal(settings: MethodSettings, context: OCIContext) -> OCIMethod:
    fetch = ResourcePrincipal(settings, context.service, allow_http=context.allow_http).fetch
    return OCIMethod("resource_principal", "the resource's principal", settings, fetch, _resource_region)


def _oke_workload_identity(settings: MethodSettings, _: OCIContext) -> OCIMethod:
    fetch = WorkloadIdentity(settings).fetch
    return OCIMethod("oke_workload_identity", "the pod's service account", settings, fetch, _resource_region)


async def _resource_region() -> str | None:
    return oci_profile.region_of_environment(*_RESOURCE_REGION)


def _delegation_token(settings: MethodSettings, context: OCIContext) -> OCIMethod:
    explicit = settings.explicit
    principal = str(explicit.get("principal") or "instance_principal")
    if principal not in _PRINCIPALS:
        raise ConfigurationError(f"principal must be one of {', '.join(_PRINCIPALS)}, not {principal!r}")
    check_delegation(settings)
    own = ("delegation_token", "delegation_token_file", "principal")
    base = TABLE.choose(principal, {name: value for name, value in explicit.items() if name not in own}, context)

    async def fetch() -> KeyGrant:
        token = await read_delegation_token(settings)
        return with_delegation(await base.fetch(), token)

    return OCIMethod("delegation_token", f"a user, by {base.source}", settings, fetch, base.region, base.domain)


def _default(settings: MethodSettings, context: OCIContext) -> OCIMethod:
    profile = _of_profile("default", settings, context)
    if oci_profile.IdentitySettings("default", settings).decided:
        return profile
    chain = DefaultChain(profile, lambda auth_type: TABLE.choose(auth_type, {}, context))
    source = "environment, profile, principals"
    return OCIMethod("default", source, settings, chain.fetch, chain.region, chain.domain, undecided=True)


_BUILDERS: Final[Mapping[str, Callable[[MethodSettings, OCIContext], OCIMethod]]] = {
    "default": _default,
    "user_principal": partial(_of_profile, "user_principal"),
    "session_token": partial(_of_profile, "session_token"),
    "instance_principal": _instance_principal,
    "resource_principal": _resource_principal,
    "oke_workload_identity": _oke_workload_identity,
    "delegation_token": _delegation_token,
    "anonymous": _anonymous,
}

TABLE: Final[MethodTable[OCIContext, OCIMethod]] = MethodTable(
    provider="oci",
    name="OCI",
    methods=METHODS,
    builders=_BUILDERS,
    implied={
        "delegation_token": "delegation_token",
        "delegation_token_file": "delegation_token",
        "principal": "delegation_token",
        "metadata_url": "instance_principal",
        "federation_endpoint": "instance_principal",
        "resource_principal_version": "resource_principal",
        "session_token": "resource_principal",
        "rpt_endpoint": "resource_principal",
        "kubernetes_service_host": "oke_workload_identity",
        "service_account_token": "oke_workload_identity",
        "service_account_token_file": "oke_workload_identity",
    },
    type_aliases=TYPE_ALIASES,
)

#: Settings that :func:`oci_credentials` takes.
SETTINGS: Final = TABLE.setting_names

AUTH_TYPES: Final = TABLE.auth_types

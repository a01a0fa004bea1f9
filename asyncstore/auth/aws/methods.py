"""
The authentication methods of AWS.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.configuration import SharedConfiguration
from asyncstore.auth.aws.container import ContainerAgent
from asyncstore.auth.aws.document import KeyGrant
from asyncstore.auth.aws.files import PROFILE_VARIABLES, read_files, require_files
from asyncstore.auth.aws.instance import InstanceMetadata
from asyncstore.auth.aws.login import LoginSession
from asyncstore.auth.aws.process import CredentialProcess
from asyncstore.auth.aws.profile import ProfileReader
from asyncstore.auth.aws.roles import AssumedRole, WebIdentity, source_of
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.auth.aws.sso import SingleSignOn
from asyncstore.auth.aws.sts import STS
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.methods import AuthMethod, Chain, Method, MethodSettings, MethodTable, Setting
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, MissingCredentialsError, secret_text
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_SDKREF: Final = "https://docs.aws.amazon.com/sdkref/latest/guide"
_STS: Final = "https://docs.aws.amazon.com/STS/latest/APIReference"

_CONFIG: Final = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_KEY_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_STS_VARIABLES: Final = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")

_KEY_NAMES: Final = ("access_key_id", "secret_access_key", "session_token")
_KEYS: Final = (
    Setting("access_key_id", "text, a `Secret` or a function", aliases=("aws_access_key_id",)),
    Setting(
        "secret_access_key",
        "text, a `Secret` or a function; it is never sent",
        aliases=("aws_secret_access_key",),
        secret=True,
    ),
    Setting(
        "session_token",
        "for keys that expire: text, a `Secret` or a function",
        aliases=("aws_session_token",),
        secret=True,
    ),
)
_ANONYMOUS: Final = Setting("anonymous", "whether requests are sent without a signature")
_PROFILE: Final = Setting(
    "profile", "name of a profile in the shared files", PROFILE_VARIABLES, ("aws_profile",), identifies=True
)
_MFA_TOKEN: Final = Setting(
    "mfa_token", "a function that returns the six digits of the MFA device, plain or `async`", secret=True
)
_IMDS_V1: Final = Setting("imds_v1", "whether IMDSv1, which works without session tokens, may be used")
_STS_ENDPOINT: Final = Setting("sts_endpoint", "URL of the token service, instead of that of the region")
_ROLE: Final = (
    Setting(
        "duration", "lifetime of the keys in seconds: 900 to 43,200, or up to 3,600 if another role assumes this one"
    ),
    Setting("policy", "JSON, as text or a mapping, that restricts what the keys may do"),
    Setting("policy_arns", "ARNs of managed policies that restrict it: a list, or text separated by commas"),
    _STS_ENDPOINT,
)

METHODS: Final = (
    AuthMethod(
        "default",
        "the first that applies: environment, a role of the profile, web_identity, other credentials of the profile, "
        "container, instance_profile",
        f"{_SDKREF}/standardized-credentials.html",
        (_ANONYMOUS, _IMDS_V1, _MFA_TOKEN),
        (*_KEY_VARIABLES, *PROFILE_VARIABLES, *_CONFIG),
        refreshes=True,
    ),
    AuthMethod("static", "keys in the settings", f"{_SDKREF}/feature-static-credentials.html", (*_KEYS, _ANONYMOUS)),
    AuthMethod(
        "environment",
        "keys in environment variables",
        f"{_SDKREF}/feature-static-credentials.html",
        (_ANONYMOUS,),
        _KEY_VARIABLES,
    ),
    AuthMethod(
        "anonymous",
        "requests are not signed",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html",
        (_ANONYMOUS,),
    ),
    AuthMethod(
        "profile",
        "the credentials of a profile in the shared files: keys, a role, SSO, `aws login`, a web identity, a process",
        f"{_SDKREF}/file-format.html",
        (_PROFILE, _MFA_TOKEN, _IMDS_V1, _ANONYMOUS),
        (*_CONFIG, *_STS_VARIABLES),
        refreshes=True,
    ),
    AuthMethod(
        "sso",
        "the single sign-on session of a profile; needs `aws sso login`",
        f"{_SDKREF}/feature-sso-credentials.html",
        (_PROFILE, _ANONYMOUS),
        (*_CONFIG, "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC"),
        refreshes=True,
    ),
    AuthMethod(
        "login",
        "the console session of a profile; needs `aws login`",
        f"{_SDKREF}/feature-login-credentials.html",
        (_PROFILE, _ANONYMOUS),
        (*_CONFIG, "AWS_LOGIN_CACHE_DIRECTORY", "AWS_ENDPOINT_URL_SIGNIN", "AWS_REGION", "AWS_DEFAULT_REGION"),
        refreshes=True,
    ),
    AuthMethod(
        "assume_role",
        "a role, assumed with keys, a profile, or any other configuration",
        f"{_STS}/API_AssumeRole.html",
        (
            Setting("role_arn", "the role", identifies=True),
            Setting(
                "source",
                "credentials that assume the role: an `AuthConfig` or a table of its fields; else the default chain",
            ),
            *_KEYS,
            _PROFILE,
            Setting("role_session_name", "name of the session in AWS logs", ("AWS_ROLE_SESSION_NAME",)),
            Setting("external_id", "identifier that the owner of the role requires"),
            Setting("mfa_serial", "ARN or serial number of the MFA device"),
            _MFA_TOKEN,
            Setting("source_identity", "who uses the session, for AWS logs"),
            Setting("tags", "tags of the session: a mapping, or text such as `team=red,stage=test`"),
            Setting("transitive_tag_keys", "tags that sessions of further roles inherit"),
            *_ROLE,
            _ANONYMOUS,
        ),
        _STS_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "web_identity",
        "a role, assumed with the token of an identity provider in a file, such as that of an EKS service account",
        f"{_STS}/API_AssumeRoleWithWebIdentity.html",
        (
            Setting("role_arn", "the role", ("AWS_ROLE_ARN",), identifies=True),
            Setting(
                "web_identity_token_file",
                "file with the token, read for each request",
                ("AWS_WEB_IDENTITY_TOKEN_FILE",),
            ),
            Setting("role_session_name", "name of the session in AWS logs", ("AWS_ROLE_SESSION_NAME",)),
            *_ROLE,
            _ANONYMOUS,
        ),
        _STS_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "container",
        "the credentials agent of an ECS task or of EKS Pod Identity",
        f"{_SDKREF}/feature-container-credentials.html",
        (
            Setting(
                "credentials_relative_uri",
                "path at the agent of ECS; takes precedence over `credentials_uri`",
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
            ),
            Setting(
                "credentials_uri",
                "URL of the agent: https, or http to this machine, ECS or EKS",
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
            ),
            Setting(
                "authorization_token_file",
                "file with the token for the agent, read for each request; takes precedence over `authorization_token`",
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",),
            ),
            Setting("authorization_token", "token for the agent", ("AWS_CONTAINER_AUTHORIZATION_TOKEN",), secret=True),
            _ANONYMOUS,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "instance_profile",
        "the metadata service of an EC2 instance (IMDSv2)",
        f"{_SDKREF}/feature-imds-credentials.html",
        (
            Setting("metadata_endpoint", "URL of the service", ("AWS_EC2_METADATA_SERVICE_ENDPOINT",)),
            Setting("metadata_endpoint_mode", "`ipv4` or `ipv6`", ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",)),
            Setting(
                "metadata_timeout",
                "seconds that one attempt may take; by default 1 to connect and 10 in all",
                ("AWS_METADATA_SERVICE_TIMEOUT",),
            ),
            Setting(
                "metadata_attempts",
                "how often the service is asked before it counts as missing; by default once",
                ("AWS_METADATA_SERVICE_NUM_ATTEMPTS",),
            ),
            _IMDS_V1,
            _ANONYMOUS,
        ),
        ("AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_V1_DISABLED"),
        refreshes=True,
    ),
    AuthMethod(
        "process",
        "a program that prints keys; it runs without a shell, and its standard error is discarded",
        f"{_SDKREF}/feature-process-credentials.html",
        (
            Setting("credential_process", "the program and its arguments, as a list or text"),
            Setting("process_timeout", "seconds until the program is killed; at most, and by default, 50"),
            _ANONYMOUS,
        ),
        refreshes=True,
    ),
)

# The order of boto3: https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
_DEFAULT: Final = ("environment", "profile", "web_identity", "container", "instance_profile")

_WEB_IDENTITY: Final = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")


class SourceFactory(Protocol):
    """
    Creates the credentials that assume a role.
    """

    def __call__(self, auth: AuthConfig, /) -> Credentials[Any]: ...


@dataclass(frozen=True, slots=True)
class AWSContext:
    """
    What all methods of one configuration share.

    Attributes:
        region: From the URI or the settings.
        configuration: What the environment and the profile say.
    """

    region: str | None
    service: TokenService
    credentials: SourceFactory
    configuration: SharedConfiguration

    async def find_region(self) -> str | None:
        """
        Return the region of the environment, else of the profile.
        """
        return (await self.configuration.get()).text("region")


@dataclass(frozen=True, slots=True)
class AWSMethod(Method["AWSKeys | None"]):
    """
    One way to obtain AWS keys.

    Attributes:
        region: Asks the service that issues the keys for the region of this machine.
        source_credentials: The credentials that assume a role; closed with the method.
        sources: Returns the sources of the settings if *settings* does not have them.
    """

    region: Callable[[], Awaitable[str | None]] | None = field(default=None, repr=False)
    source_credentials: Credentials[Any] | None = None
    sources: Callable[[], dict[str, str]] | None = None

    def setting_sources(self) -> dict[str, str]:
        """
        Return the source of every value; names of a role's source credentials start with ``source.``.
        """
        found = self.settings.sources() if self.sources is None else self.sources()
        if self.source_credentials is not None:
            inner = self.source_credentials.setting_sources()
            found |= {f"source.{name}": where for name, where in inner.items() if name not in found}
        return found

    async def aclose(self) -> None:
        if self.source_credentials is not None:
            await self.source_credentials.aclose()


#: Makes a method from its settings.
Builder = Callable[[MethodSettings, AWSContext], AWSMethod]


def _anonymous(settings: MethodSettings, _: AWSContext) -> AWSMethod:
    async def fetch() -> KeyGrant:
        return Grant(None)

    return AWSMethod("anonymous", "settings", settings, fetch)


def _static(settings: MethodSettings, _: AWSContext) -> AWSMethod:
    if missing := [name for name in _KEY_NAMES[:2] if not settings.explicit.get(name)]:
        raise ConfigurationError(f"static credentials need {' and '.join(missing)}")

    async def fetch() -> KeyGrant:
        key_id, secret, token = [await secret_text(name, settings.get(name)) for name in _KEY_NAMES]
        if not key_id or not secret:
            raise UnauthenticatedError("the function for access_key_id or secret_access_key returned no text")
        return Grant(AWSKeys(key_id, secret, token or None))

    return AWSMethod("static", "settings", settings, fetch)


def _environment(settings: MethodSettings, _: AWSContext) -> AWSMethod:
    async def fetch() -> KeyGrant:
        key_id, secret, token = [os.environ.get(variable) for variable in _KEY_VARIABLES]
        if not key_id:
            raise MissingCredentialsError("AWS_ACCESS_KEY_ID is not set")
        if not secret:
            raise ConfigurationError("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY")
        return Grant(AWSKeys(key_id, secret, token or None))

    return AWSMethod("environment", "environment", settings, fetch, sources=_variables)


def _variables() -> dict[str, str]:
    pairs = zip(_KEY_NAMES, _KEY_VARIABLES, strict=True)
    return {name: variable for name, variable in pairs if os.environ.get(variable)}


def _profile(settings: MethodSettings, context: AWSContext, *, chained: bool = False) -> AWSMethod:
    def read() -> tuple[str, AuthConfig]:
        if chained:
            require_files()
        name = settings.get("profile") or "default"
        return name, ProfileReader(read_files(), settings, context.region).meaning(name)

    async def fetch() -> KeyGrant:
        name, auth = await in_thread(read)
        if chained and auth.auth_type != "assume_role" and all(os.environ.get(name) for name in _WEB_IDENTITY):
            # The order of boto3: a role of a profile, then these variables, then other credentials of the profile.
            raise MissingCredentialsError(f"{' and '.join(_WEB_IDENTITY)} precede its {auth.auth_type} credentials")
        async with context.credentials(auth) as credentials:
            lease: Lease[AWSKeys | None] = await credentials.get()
        ttl = None if lease.ends_at is None else lease.ends_at - time.monotonic()
        return Grant(lease.value, ttl, source=f"profile {name!r} ({credentials.auth_type})")

    return AWSMethod("profile", f"profile {settings.get('profile') or 'default'!r}", settings, fetch)


def _sso(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    async def fetch() -> KeyGrant:
        name = settings.get("profile") or "default"
        return replace(await SingleSignOn(name, context.service).fetch(), source=f"profile {name!r}")

    return AWSMethod("sso", f"profile {settings.get('profile') or 'default'!r}", settings, fetch)


def _login(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    session = LoginSession(settings, context.region, context.service, context.configuration)

    async def fetch() -> KeyGrant:
        return replace(await session.fetch(), source=f"profile {settings.get('profile') or 'default'!r}")

    return AWSMethod("login", f"profile {settings.get('profile') or 'default'!r}", settings, fetch)


def _assume_role(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    source = context.credentials(source_of(settings, context.region))
    role = AssumedRole(settings, _sts(settings, context, source.region), source)

    async def fetch() -> KeyGrant:
        grant = await role.fetch()
        return replace(grant, source=f"{settings.get('role_arn')}, with {source.auth_type} ({source.source})")

    arn = str(settings.get("role_arn"))
    return AWSMethod("assume_role", arn, settings, fetch, region=source.region, source_credentials=source)


def _web_identity(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    identity = WebIdentity(settings, _sts(settings, context, context.find_region))

    async def fetch() -> KeyGrant:
        grant = await identity.fetch()
        return replace(grant, source=f"{settings.get('role_arn')}, with {settings.get('web_identity_token_file')}")

    return AWSMethod("web_identity", "the token of an identity provider", settings, fetch)


def _container(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    return AWSMethod("container", "the container's agent", settings, ContainerAgent(settings, context.service).fetch)


def _instance_profile(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    metadata = InstanceMetadata(settings, context.service, context.configuration)
    source = "the instance's metadata service"
    return AWSMethod("instance_profile", source, settings, metadata.fetch, region=metadata.region)


def _process(settings: MethodSettings, _: AWSContext) -> AWSMethod:
    return AWSMethod("process", "credential_process", settings, CredentialProcess(settings).fetch)


def _default(settings: MethodSettings, context: AWSContext) -> AWSMethod:
    builders: dict[str, Builder] = {**_BUILDERS, "profile": partial(_profile, chained=True)}
    links = [builders[name](TABLE.method(name).select(settings.explicit), context) for name in _DEFAULT]
    links = [link.optional() if link.auth_type == "instance_profile" else link for link in links]
    chain: Chain[AWSMethod, AWSKeys | None] = Chain(links, name="AWS", provider="s3", strict=True)

    async def fetch() -> KeyGrant:
        grant = await chain.fetch()
        found = chain.found or links[0]
        return replace(grant, source=f"{found.auth_type}: {grant.source or found.source}")

    def sources() -> dict[str, str]:
        return settings.sources() | (chain.found.setting_sources() if chain.found else {})

    return AWSMethod("default", ", ".join(_DEFAULT), settings, fetch, sources=sources)


def _sts(settings: MethodSettings, context: AWSContext, region: Callable[[], Awaitable[str | None]]) -> STS:
    async def nearest() -> str | None:
        return context.region or await region()

    named = settings.explicit.get("sts_endpoint")
    endpoint = None if named is None else str(named)
    return STS(context.service, context.configuration, region=nearest, endpoint=endpoint)


_BUILDERS: Final[Mapping[str, Builder]] = {
    "default": _default,
    "static": _static,
    "environment": _environment,
    "anonymous": _anonymous,
    "profile": _profile,
    "sso": _sso,
    "login": _login,
    "assume_role": _assume_role,
    "web_identity": _web_identity,
    "container": _container,
    "instance_profile": _instance_profile,
    "process": _process,
}

TABLE: Final[MethodTable[AWSContext, AWSMethod]] = MethodTable(
    provider="s3",
    name="AWS",
    methods=METHODS,
    builders=_BUILDERS,
    implied={
        "web_identity_token_file": "web_identity",
        "role_arn": "assume_role",
        **dict.fromkeys(_KEY_NAMES, "static"),
        "credential_process": "process",
        "credentials_uri": "container",
        "credentials_relative_uri": "container",
        "metadata_endpoint": "instance_profile",
        "profile": "profile",
    },
    aliases=("aws",),
)

#: Settings that :func:`aws_credentials` takes.
SETTINGS: Final = TABLE.setting_names

AUTH_TYPES: Final = TABLE.auth_types

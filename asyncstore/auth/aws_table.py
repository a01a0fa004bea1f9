"""
The methods of AWS, with all that they take: the source of checks and of the reference.
"""

from __future__ import annotations

from typing import Final

from asyncstore.auth.method import AuthMethod, Setting

_SDKREF: Final = "https://docs.aws.amazon.com/sdkref/latest/guide"
_STS: Final = "https://docs.aws.amazon.com/STS/latest/APIReference"

_CONFIG: Final = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_KEY_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_STS_VARIABLES: Final = ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")

_KEYS: Final = (
    Setting("access_key_id", "names the key; text, a `Secret` or a function", aliases=("aws_access_key_id",)),
    Setting(
        "secret_access_key",
        "signs, and is never sent; text, a `Secret` or a function",
        aliases=("aws_secret_access_key",),
        secret=True,
    ),
    Setting("session_token", "goes with keys that expire; as the others", aliases=("aws_session_token",), secret=True),
)
_ANONYMOUS: Final = Setting("anonymous", "whether requests stay unsigned")
_PROFILE: Final = Setting("profile", "name of a profile of the shared files", ("AWS_PROFILE",), ("aws_profile",))
_MFA_TOKEN: Final = Setting(
    "mfa_token", "a function that gives the six digits of the MFA device, plain or `async`", secret=True
)
_IMDS_V1: Final = Setting("imds_v1", "whether the first version of the instance's service, without tokens, may be used")
_STS_ENDPOINT: Final = Setting("sts_endpoint", "the token service, instead of the region's own")
_ROLE: Final = (
    Setting("duration", "seconds that the keys last: 900 to 43,200, and up to 3,600 for a role of a role"),
    Setting("policy", "JSON, as text or a mapping, that narrows what the keys may do"),
    Setting("policy_arns", "ARNs of managed policies that do the same, as a list or separated by commas"),
    _STS_ENDPOINT,
)

METHODS: Final = (
    AuthMethod(
        "default",
        "environment, a role of the profile, web_identity, the rest of the profile, container, instance_profile: "
        "the first that applies",
        f"{_SDKREF}/standardized-credentials.html",
        (_ANONYMOUS, _IMDS_V1, _MFA_TOKEN),
        (*_KEY_VARIABLES, "AWS_PROFILE", *_CONFIG),
        refreshes=True,
    ),
    AuthMethod("static", "keys in the settings", f"{_SDKREF}/feature-static-credentials.html", (*_KEYS, _ANONYMOUS)),
    AuthMethod(
        "environment", "keys in variables", f"{_SDKREF}/feature-static-credentials.html", (_ANONYMOUS,), _KEY_VARIABLES
    ),
    AuthMethod(
        "anonymous",
        "requests are not signed",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html",
        (_ANONYMOUS,),
    ),
    AuthMethod(
        "profile",
        "whatever a profile of the shared files says: keys, a role, SSO, a web identity, a process",
        f"{_SDKREF}/file-format.html",
        (_PROFILE, _MFA_TOKEN, _IMDS_V1, _ANONYMOUS),
        (*_CONFIG, *_STS_VARIABLES),
        refreshes=True,
    ),
    AuthMethod(
        "sso",
        "the single sign-on session of a profile, after `aws sso login`",
        f"{_SDKREF}/feature-sso-credentials.html",
        (_PROFILE, _ANONYMOUS),
        (*_CONFIG, "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC"),
        refreshes=True,
    ),
    AuthMethod(
        "assume_role",
        "a role, assumed with keys, a profile, or any other configuration",
        f"{_STS}/API_AssumeRole.html",
        (
            Setting("role_arn", "the role"),
            Setting("source", "whose keys assume the role: an `AuthConfig` or a table of its fields; else the default"),
            *_KEYS,
            _PROFILE,
            Setting("role_session_name", "shows in AWS's logs", ("AWS_ROLE_SESSION_NAME",)),
            Setting("external_id", "what the role's owner asks others to name"),
            Setting("mfa_serial", "ARN or serial number of the MFA device"),
            _MFA_TOKEN,
            Setting("source_identity", "who is behind the session, for AWS's logs"),
            Setting("tags", "of the session: a mapping, or text such as `team=red,stage=test`"),
            Setting("transitive_tag_keys", "tags that roles of this role inherit"),
            *_ROLE,
            _ANONYMOUS,
        ),
        _STS_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "web_identity",
        "a role, for the token of an identity provider in a file, such as that of an EKS service account",
        f"{_STS}/API_AssumeRoleWithWebIdentity.html",
        (
            Setting("role_arn", "the role", ("AWS_ROLE_ARN",)),
            Setting("web_identity_token_file", "read again each time", ("AWS_WEB_IDENTITY_TOKEN_FILE",)),
            Setting("role_session_name", "shows in AWS's logs", ("AWS_ROLE_SESSION_NAME",)),
            *_ROLE,
            _ANONYMOUS,
        ),
        _STS_VARIABLES,
        refreshes=True,
    ),
    AuthMethod(
        "container",
        "the agent of an ECS task, or of EKS Pod Identity",
        f"{_SDKREF}/feature-container-credentials.html",
        (
            Setting(
                "credentials_relative_uri",
                "path at the agent of ECS; goes before the next",
                ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
            ),
            Setting(
                "credentials_uri",
                "address of the agent: https, or http to this machine, ECS or EKS",
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
            ),
            Setting(
                "authorization_token_file",
                "token for the agent, read again each time; goes before the next",
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",),
            ),
            Setting("authorization_token", "the token itself", ("AWS_CONTAINER_AUTHORIZATION_TOKEN",), secret=True),
            _ANONYMOUS,
        ),
        refreshes=True,
    ),
    AuthMethod(
        "instance_profile",
        "the metadata service of an EC2 instance, by its second version (IMDSv2)",
        f"{_SDKREF}/feature-imds-credentials.html",
        (
            Setting("metadata_endpoint", "address of the service", ("AWS_EC2_METADATA_SERVICE_ENDPOINT",)),
            Setting("metadata_endpoint_mode", "`ipv4` or `ipv6`", ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",)),
            _IMDS_V1,
            _ANONYMOUS,
        ),
        ("AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_V1_DISABLED"),
        refreshes=True,
    ),
    AuthMethod(
        "process",
        "a program that prints keys; run without a shell, its errors thrown away",
        f"{_SDKREF}/feature-process-credentials.html",
        (
            Setting("credential_process", "the program and its arguments, as a list or as text"),
            Setting("process_timeout", "seconds until it is killed: up to 50, which is the default"),
            _ANONYMOUS,
        ),
        refreshes=True,
    ),
)

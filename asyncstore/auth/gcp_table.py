"""
The methods of Google, with all that they take: the source of checks and of the reference.
"""

from __future__ import annotations

from typing import Final

from asyncstore.auth.method import AuthMethod, Setting

_ADC: Final = "https://cloud.google.com/docs/authentication/application-default-credentials"
_FILE_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"

_COMMON: Final = (
    Setting("anonymous", "whether requests carry no token"),
    Setting("hmac_access_id", "names an HMAC key, which signs URLs and nothing else"),
    Setting("hmac_secret", "of the HMAC key", secret=True),
)
_TOKENS: Final = (
    Setting(
        "quota_project",
        "the project that use is counted for; goes before the one in a file",
        ("GOOGLE_CLOUD_QUOTA_PROJECT",),
    ),
    Setting("universe_domain", "the cloud, where it is not Google's own", ("GOOGLE_CLOUD_UNIVERSE_DOMAIN",)),
    *_COMMON,
)
_FILES: Final = (
    Setting("credentials_file", "JSON file of credentials", (_FILE_VARIABLE,)),
    Setting("credentials_json", "its content: text, a `Secret` or a mapping; goes before the file", secret=True),
)
# A file named by the environment is the default's, whatever the account it speaks for.
_SOURCE_FILES: Final = (
    Setting("credentials_file", "JSON file of the source's credentials, or of this method's own", (_FILE_VARIABLE,)),
    _FILES[1],
)
_SCOPES: Final = Setting(
    "scopes", "what tokens are for: a list, or text; by default reading and writing objects of Cloud Storage"
)
_SUBJECT: Final = Setting("subject", "the user whom a service account speaks for, where the domain lets it")
_SELF_SIGNED: Final = Setting(
    "self_signed_jwt", "whether a service account signs its tokens itself, and asks nobody for them"
)
_AWS: Final = Setting(
    "aws_source",
    "whose keys prove an identity of AWS: an `AuthConfig` for AWS or a table of its fields; "
    "else those of the environment, the container or the instance",
)
_SUBJECT_TOKEN: Final = Setting(
    "subject_token",
    "the other provider's token, in place of a `credential_source`: text, a `Secret`, or a function that gives one",
    secret=True,
)
_DELEGATES: Final = Setting("delegates", "accounts in between, each of which may have tokens of the next")
_LIFETIME: Final = Setting(
    "lifetime", "seconds that tokens of another account last: up to 43,200 where that is allowed; else 3,600"
)
_IAM: Final = Setting("iam_endpoint", "address of the IAM Credentials API, instead of the cloud's own")
_IMPERSONATION: Final = (_DELEGATES, _LIFETIME, _IAM)
_TOKEN: Final = Setting("token", "text, a `Secret`, or a function that gives one, plain or `async`", secret=True)
_METADATA: Final = (
    Setting("service_account", "address of the account, where the machine has several"),
    Setting("metadata_host", "where the metadata server is, with a port if need be", ("GCE_METADATA_HOST",)),
)

METHODS: Final = (
    AuthMethod(
        "default",
        "the file that is named, gcloud's file, the metadata server: the first that there is",
        _ADC,
        (*_FILES, _SCOPES, _SUBJECT, _SELF_SIGNED, _AWS, _SUBJECT_TOKEN, *_IMPERSONATION, *_TOKENS),
        ("CLOUDSDK_CONFIG", "GCE_METADATA_HOST", "NO_GCE_CHECK"),
        refreshes=True,
    ),
    AuthMethod(
        "service_account",
        "the key of a service account, exchanged for tokens or signing its own",
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
        "the token of another identity provider: in a file, at an address, a signature of AWS's, or from a program",
        "https://cloud.google.com/iam/docs/workload-identity-federation",
        (*_FILES, _SCOPES, _AWS, _SUBJECT_TOKEN, *_IMPERSONATION, *_TOKENS),
        (
            "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
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
        "the tokens of a service account, for whoever may have them: any other method",
        "https://cloud.google.com/iam/docs/service-account-impersonation",
        (
            Setting("target_principal", "address of the service account"),
            Setting("source", "who asks for its tokens: an `AuthConfig` or a table of its fields; else the default"),
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
        "a token of one's own; a function is called again when the token is refused",
        "https://cloud.google.com/docs/authentication/token-types#access",
        (_TOKEN, *_TOKENS),
    ),
    AuthMethod(
        "anonymous",
        "requests carry no token",
        "https://cloud.google.com/storage/docs/access-public-data",
        _COMMON,
    ),
)

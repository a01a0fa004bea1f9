"""
Remove secrets from text that people read.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_MASK: Final = "***"

_QUERY_KEYS: Final = (
    "X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|X-Goog-Signature|X-Goog-Credential|Signature"
    "|AWSAccessKeyId|GoogleAccessId|sig|token|access_token|refresh_token|id_token|client_secret|code|upload_id"
)
_HEADERS: Final = (
    "authorization|proxy-authorization|cookie|set-cookie|x-amz-security-token|opc-obo-token|x-ms-copy-source[\\w-]*"
    "|x-aws-ec2-metadata-token|x-amz-server-side-encryption-customer-key|x-amz-sso_bearer_token"
    "|x-goog-encryption-key|x-goog-copy-source-encryption-key"
)
_FIELDS: Final = (
    "SecretAccessKey|SessionToken|AccessKeyId|secret_?access_?key|aws_secret_access_key|session_?token"
    "|aws_session_token|access_?key_?id|aws_access_key_id|access_?token|refresh_?token|id_?token|client_?secret"
    "|private_?key|password|pass_?phrase|account_?key|SharedAccessSignature|sas_?token"
)


def redact(text: object) -> str:
    """
    Return *text*, a message or a URL, with everything that looks like a secret as ``***``.

    This is the last line of defence: never put a known secret into a message.
    """
    result = str(text)
    for pattern, replacement in _patterns():
        result = pattern.sub(replacement, result)
    return result


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    # Compiled with the first error: this would take several milliseconds of the import.
    return (
        (re.compile(r"-----BEGIN [^-]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|\Z)", re.DOTALL), _MASK),
        # https://user:password@host
        (re.compile(r"(?<=://)[^/\s@]+@"), f"{_MASK}@"),
        (re.compile(rf"(?i)([?&](?:{_QUERY_KEYS})=)[^&\s'\"<>#]+"), rf"\1{_MASK}"),
        # Authorization: Bearer ..., 'Authorization': '...', a tuple of both.
        (re.compile(rf"(?i)\b({_HEADERS})(b?['\"]?\s*[:=,]\s*)(b?['\"])(.*?)(?<!\\)(['\"])"), rf"\1\2\3{_MASK}\5"),
        (re.compile(rf"(?im)\b({_HEADERS})(['\"]?\s*[:=]\s*)(?!b?['\"])[^\r\n]+"), rf"\1\2{_MASK}"),
        # <SecretAccessKey>...</SecretAccessKey>, "SecretAccessKey": "...", secret_access_key=...
        (re.compile(rf"(?i)<({_FIELDS})>[^<]*"), rf"<\1>{_MASK}"),
        (re.compile(rf"(?i)\b({_FIELDS})(['\"]?\s*[:=]\s*b?['\"]?)[^\s'\",;&<>}}]+"), rf"\1\2{_MASK}"),
        (re.compile(r"(['\"]token['\"]\s*:\s*b?['\"])[^'\"]+", re.IGNORECASE), rf"\1{_MASK}"),
        (re.compile(r"<Token>[^<]*"), f"<Token>{_MASK}"),
        # Secrets that are recognized by their form.
        (re.compile(r"\bBearer\s+[^\s'\",]+", re.IGNORECASE), f"Bearer {_MASK}"),
        (re.compile(r"\bST\$[\w.\-]+"), _MASK),
        (re.compile(r"\beyJ[\w\-]+(?:\.[\w\-]*){0,2}"), _MASK),
        (re.compile(r"\b(?:gh[opsur]_|github_pat_)[\w.\-]+"), _MASK),
        (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), _MASK),
        # An OCI pre-authenticated request has its secret in the path.
        (re.compile(r"/p/[^/\s]{16,}/n/"), f"/p/{_MASK}/n/"),
    )

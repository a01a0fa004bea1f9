"""
How S3 is told to encrypt an object.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
"""

from __future__ import annotations

import base64
import json
from typing import Final

from asyncstore.driver.encryption import key_in
from asyncstore.driver.settings import customer_key_headers
from asyncstore.encryption import Encryption

_SSE: Final = "x-amz-server-side-encryption"


def key_headers(encryption: Encryption | None, prefix: str = "x-amz-") -> dict[str, str]:
    """
    Return the customer's key, which reads and writes send.

    Args:
        prefix: ``x-amz-copy-source-`` for that of the source of a copy.
    """
    return customer_key_headers(key_in(encryption), f"{prefix}server-side-encryption-customer", "md5")


def write_headers(encryption: Encryption | None) -> dict[str, str]:
    """
    Return the headers that encrypt a new object.
    """
    if encryption is None or encryption.key is not None:
        return key_headers(encryption)
    if encryption.kind == "managed":
        return {_SSE: "AES256"}
    headers = {_SSE: "aws:kms:dsse" if encryption.dual_layer else "aws:kms"}
    if encryption.name is not None:
        headers[f"{_SSE}-aws-kms-key-id"] = encryption.name
    if encryption.context is not None:
        # The base64 of a JSON document.
        context = json.dumps(dict(encryption.context), separators=(",", ":")).encode()
        headers[f"{_SSE}-context"] = base64.b64encode(context).decode("ascii")
    if encryption.bucket_key is not None:
        headers[f"{_SSE}-bucket-key-enabled"] = str(encryption.bucket_key).lower()
    return headers

"""
Recognizes errors in replies whose status is a success.
"""

from __future__ import annotations

import json

from asyncstore.http.xml import error_in


def has_error(body: bytes) -> bool:
    """
    Return whether *body* is the error document of a provider, in XML or JSON.

    S3 may send its status before it knows the outcome, and gateways send 200 with the error of the service behind them:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html. In JSON the error is in the member
    ``error`` (https://cloud.google.com/storage/docs/json_api/v1/status-codes), or has a ``code`` and a ``message``
    (https://docs.oracle.com/iaas/Content/API/References/apierrors.htm).
    """
    text = body.lstrip()
    if not text.startswith(b"{"):
        return error_in(text) is not None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return bool(found.get("error")) or {"code", "message"} <= found.keys()

"""
The service's errors, in the format of each of its two APIs.

`JSON <https://cloud.google.com/storage/docs/json_api/v1/status-codes>`_ ·
`XML <https://cloud.google.com/storage/docs/xml-api/reference-status>`_
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape


class ServiceError(Exception):
    """
    A refused request.

    Attributes:
        reason: The JSON API's reason.
        code: The XML API's error code.
        location: The parameter or header that caused it.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        code: str,
        message: str,
        *,
        location: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.code = code
        self.message = message
        self.location = location
        self.headers = dict(headers or {})

    def as_json(self) -> bytes:
        """
        Return the JSON API's body.
        """
        detail: dict[str, Any] = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location is not None:
            detail |= {"locationType": "header" if self.location[:1].isupper() else "parameter"}
            detail |= {"location": self.location}
        body = {"error": {"code": self.status, "message": self.message, "errors": [detail]}}
        return json.dumps(body, indent=2).encode()

    def as_xml(self) -> bytes:
        """
        Return the XML API's body.
        """
        return (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{self.code}</Code>"
            f"<Message>{escape(self.message)}</Message></Error>"
        ).encode()

    def as_text(self) -> bytes:
        """
        Return the JSON API's body for a request for content.
        """
        return self.message.encode()


def no_such_bucket() -> ServiceError:
    return ServiceError(404, "notFound", "NoSuchBucket", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> ServiceError:
    return ServiceError(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def no_such_upload() -> ServiceError:
    return ServiceError(404, "notFound", "NoSuchUpload", "The requested upload was not found.")


def precondition_failed(location: str = "If-Match") -> ServiceError:
    message = "At least one of the pre-conditions you specified did not hold."
    return ServiceError(412, "conditionNotMet", "PreconditionFailed", message, location=location)


def not_modified(headers: Mapping[str, str] | None = None) -> ServiceError:
    return ServiceError(304, "notModified", "NotModified", "Not Modified", headers=headers)


def invalid(message: str, location: str | None = None, *, code: str = "InvalidArgument") -> ServiceError:
    return ServiceError(400, "invalid", code, message, location=location)


def required(message: str, location: str | None = None) -> ServiceError:
    return ServiceError(400, "required", "InvalidArgument", message, location=location)


def bad_digest(message: str) -> ServiceError:
    return ServiceError(400, "invalid", "BadDigest", message)


def unauthorized(message: str, challenge: str) -> ServiceError:
    headers = {"WWW-Authenticate": challenge}
    return ServiceError(401, "authError", "AuthenticationRequired", message, location="Authorization", headers=headers)


def forbidden(message: str, *, code: str = "AccessDenied") -> ServiceError:
    return ServiceError(403, "forbidden", code, message)


def conflict(message: str, code: str) -> ServiceError:
    return ServiceError(409, "conflict", code, message)


def not_satisfiable(size: int) -> ServiceError:
    return ServiceError(
        416,
        "requestedRangeNotSatisfiable",
        "InvalidRange",
        "The requested range cannot be satisfied.",
        headers={"Content-Range": f"bytes */{size}"},
    )


def not_found() -> ServiceError:
    return ServiceError(404, "notFound", "NoSuchKey", "Not Found")


def method_not_allowed() -> ServiceError:
    message = "The specified method is not allowed against this resource."
    return ServiceError(405, "httpMethodNotAllowed", "MethodNotAllowed", message)

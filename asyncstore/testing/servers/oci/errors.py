"""
The service's errors: a status, a code and a message.

See https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
"""

from __future__ import annotations

from collections.abc import Mapping


class ServiceError(Exception):
    """
    An error reply.

    Attributes:
        headers: Headers of the reply, in addition to those of every reply.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def not_authenticated(message: str = "") -> ServiceError:
    """
    Return the error for a missing or invalid signature.
    """
    what = message or "The required information to complete authentication was not provided or was incorrect."
    return ServiceError(401, "NotAuthenticated", what)


def namespace_not_found() -> ServiceError:
    """
    Return the error for a namespace that does not exist or belongs to another tenancy.
    """
    return ServiceError(
        404,
        "NamespaceNotFound",
        "You do not have authorization to perform this request, or the requested resource could not be found.",
    )


def bucket_not_found(bucket: str, namespace: str) -> ServiceError:
    """
    Return the error for a bucket that does not exist or that the caller may not access.
    """
    return ServiceError(
        404,
        "BucketNotFound",
        f"Either the bucket named '{bucket}' does not exist in the namespace '{namespace}' "
        "or you are not authorized to access it",
    )


def object_not_found(name: str, bucket: str, namespace: str) -> ServiceError:
    """
    Return the error for an object or version that does not exist.
    """
    return ServiceError(
        404,
        "ObjectNotFound",
        f"The object '{name}' was not found in the bucket '{bucket}' in the namespace '{namespace}'",
    )


def upload_not_found(upload_id: str) -> ServiceError:
    """
    Return the error for an upload that does not exist, or has ended.
    """
    return ServiceError(404, "UploadNotFound", f"The upload '{upload_id}' was not found")


def invalid_parameter(message: str) -> ServiceError:
    """
    Return the error for an invalid parameter.
    """
    return ServiceError(400, "InvalidParameter", message)

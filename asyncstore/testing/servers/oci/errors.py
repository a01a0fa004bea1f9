"""
The service's errors: a status, a code and a message.

See https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
"""

from __future__ import annotations

from collections.abc import Mapping


class ServiceError(Exception):
    """
    What a request is answered with instead of a result.

    Attributes:
        headers: Of the reply, beside those that every reply has.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def not_authenticated(message: str = "") -> ServiceError:
    """
    Return the error of a request that is not signed as it must be.
    """
    what = message or "The required information to complete authentication was not provided or was incorrect."
    return ServiceError(401, "NotAuthenticated", what)


def namespace_not_found() -> ServiceError:
    """
    Return the error of a request to a namespace that is another tenancy's, or nobody's.
    """
    return ServiceError(
        404,
        "NamespaceNotFound",
        "You do not have authorization to perform this request, or the requested resource could not be found.",
    )


def bucket_not_found(bucket: str, namespace: str) -> ServiceError:
    """
    Return the error of a request to a bucket that is not there, or not the caller's to use.
    """
    return ServiceError(
        404,
        "BucketNotFound",
        f"Either the bucket named '{bucket}' does not exist in the namespace '{namespace}' "
        "or you are not authorized to access it",
    )


def object_not_found(name: str, bucket: str, namespace: str) -> ServiceError:
    """
    Return the error of a request to an object, or a version of one, that is not there.
    """
    return ServiceError(
        404,
        "ObjectNotFound",
        f"The object '{name}' was not found in the bucket '{bucket}' in the namespace '{namespace}'",
    )


def upload_not_found(upload_id: str) -> ServiceError:
    """
    Return the error of a request to an upload that is not under way.
    """
    return ServiceError(404, "UploadNotFound", f"The upload '{upload_id}' was not found")


def invalid_parameter(message: str) -> ServiceError:
    """
    Return the error of a request with an argument that cannot be.
    """
    return ServiceError(400, "InvalidParameter", message)

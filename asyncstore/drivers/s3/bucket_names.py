"""
What the name of a bucket stands for: a bucket, an access point, or a directory bucket.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from asyncstore.auth.aws.partitions import partition_named
from asyncstore.errors import ConfigurationError, NotSupportedError

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/directory-buckets-overview.html
_DIRECTORY: Final = re.compile(r"[a-z0-9][a-z0-9-]*?--(?P<zone>[a-z0-9]+(?:-[a-z0-9]+)+)--x(?:a)?-s3")
_DIRECTORY_ENDS: Final = ("--x-s3", "--xa-s3")

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html
_LABEL: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_ACCOUNT: Final = re.compile(r"\d{12}")

# Aliases of access points that need other signatures or endpoints. Those of Object Lambda are used as a bucket's name.
_OTHERS: Final = {
    "--op-s3": "an access point of S3 on Outposts",
    ".mrap": "a Multi-Region Access Point, whose requests need Signature Version 4A",
}

_SERVICES: Final = {
    "s3-object-lambda": "the ARN of an S3 Object Lambda access point, whose alias can be used like a bucket's name",
    "s3-outposts": _OTHERS["--op-s3"],
}


@dataclass(frozen=True, slots=True)
class AccessPoint:
    """
    An access point that an ARN names.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html
    """

    partition: str
    region: str
    account: str
    name: str

    @property
    def label(self) -> str:
        """The first label of its host name."""
        return f"{self.name}-{self.account}"

    def object_arn(self, key: str) -> str:
        """
        Return the ARN of an object, as a copy's source is named.
        """
        return f"arn:{self.partition}:s3:{self.region}:{self.account}:accesspoint/{self.name}/object/{key}"


def access_point(bucket: str) -> AccessPoint | None:
    """
    Return the access point that *bucket* names by its ARN; ``None`` for names of buckets and for aliases.

    Raises:
        ConfigurationError: It is the ARN of something else, or not a valid one.
        NotSupportedError: It names an access point that S3 itself does not answer.
    """
    other = next((what for end, what in _OTHERS.items() if bucket.endswith(end)), None)
    if other is not None:
        raise _refused(bucket, other)
    if not bucket.startswith("arn:"):
        return None
    fields = bucket.split(":", 5)
    if len(fields) < 6 or partition_named(fields[1]) is None:
        raise ConfigurationError(f"{bucket!r} is not an ARN of AWS: {_FORM}")
    _, partition, service, region, account, resource = fields
    if service != "s3":
        raise _refused(bucket, _SERVICES.get(service))
    kind, _, name = resource.replace("/", ":").partition(":")
    if kind != "accesspoint":
        raise ConfigurationError(f"{bucket!r} is not the ARN of an access point: {_FORM}; a bucket has just its name")
    if not region:
        raise _refused(bucket, _OTHERS[".mrap"])
    if not (_LABEL.fullmatch(region) and _ACCOUNT.fullmatch(account) and _LABEL.fullmatch(name)):
        raise ConfigurationError(f"{bucket!r} is not a valid ARN of an access point: {_FORM}")
    return AccessPoint(partition, region, account, name)


def zone_of(bucket: str) -> str | None:
    """
    Return the zone of a directory bucket; ``None`` for any other bucket.

    Raises:
        ConfigurationError: The name ends as only names of directory buckets may, but has no zone.
    """
    if not bucket.endswith(_DIRECTORY_ENDS):
        return None
    match = _DIRECTORY.fullmatch(bucket)
    if match is None:
        raise ConfigurationError(
            f"{bucket!r} is not a valid name of a directory bucket, such as models--use1-az4--x-s3"
        )
    return match["zone"]


_FORM: Final = "write s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/key"


def _refused(bucket: str, what: str | None) -> NotSupportedError:
    return NotSupportedError(
        f"{bucket!r} is {what or 'the ARN of another service'}, which is not supported: "
        "name the bucket or an ordinary access point",
        provider="s3",
        op="open",
    )

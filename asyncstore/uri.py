"""
The names of objects: parsed, formatted and joined without losing a character.

Keys are taken verbatim: ``@ ? # % +``, ``//`` and ``..`` are ordinary
characters in a key, and nothing is decoded. Only the part before the key is
parsed. ``parse_uri(str(uri)) == uri`` holds for every :class:`ObjectURI`.

The https addresses of the five providers are read as well, and decoded once,
since that is how they are written; they are never produced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from asyncstore.errors import InvalidURIError

__all__ = ["ObjectURI", "Provider", "URILike", "parse_uri"]


class Provider(StrEnum):
    """
    The providers whose drivers come with the package.
    """

    AZURE = "azure"
    GCS = "gcs"
    GITHUB = "github"
    LOCAL = "file"
    MEMORY = "memory"
    OCI = "oci"
    S3 = "s3"


# Bucket, namespace, account and region: what can stand before the key. The
# providers' own rules are narrower; these are what makes parsing unambiguous.
_NAME = re.compile(r"[^/@?#%\s\x00-\x20\x7f\ud800-\udfff]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(frozen=True, slots=True)
class ObjectURI:
    """
    Where an object is, or a prefix, or a bucket.

    Attributes:
        provider: A :class:`Provider`, or the scheme of a third-party driver.
        bucket: Bucket, Azure container or GitHub repository; empty for files.
        key: The object's key or a prefix, verbatim; empty for the bucket. Of a
            file, its absolute path without the first slash; of a GitHub asset,
            ``tag/asset``.
        namespace: What stands above the bucket: OCI namespace, Azure account,
            GitHub owner. ``None`` leaves it to the configuration.
        region: Of OCI and S3, where the URI names one.
    """

    provider: str
    bucket: str
    key: str = ""
    namespace: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __truediv__(self, key: str) -> ObjectURI:
        """
        Join *key*, verbatim, below this URI: one ``/`` separates the two.
        """
        if not self.key or self.key.endswith("/"):
            return self.with_key(self.key + key)
        return self.with_key(f"{self.key}/{key}")

    def with_key(self, key: str) -> ObjectURI:
        """
        Return the URI of another key in the same bucket.
        """
        _check_key(key, self.provider)
        # Not by replace(): a listing makes one for each key, and the part
        # before the key has been checked.
        other = object.__new__(ObjectURI)
        put = object.__setattr__
        put(other, "provider", self.provider)
        put(other, "bucket", self.bucket)
        put(other, "key", key)
        put(other, "namespace", self.namespace)
        put(other, "region", self.region)
        return other

    def __str__(self) -> str:
        return _FORMATTERS.get(self.provider, _format_plain)(self)


URILike = str | ObjectURI


def parse_uri(text: URILike) -> ObjectURI:
    """
    Read a URI of any provider.

    Raises:
        InvalidURIError: *text* is none, or could mean two things. The message
            says what would be accepted.
    """
    if isinstance(text, ObjectURI):
        return text
    if not isinstance(text, str):
        raise InvalidURIError(f"a URI is text or an ObjectURI, not {type(text).__name__}")
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise InvalidURIError(
            f"{text!r} does not begin with a scheme in lower case: write s3://bucket/key, file:///path "
            "or another provider's form, or join a key to a storage: storage.root / key"
        )
    return _PARSERS.get(scheme, _parse_plain)(scheme, rest, text)


def _parse_plain(scheme: str, rest: str, _: str) -> ObjectURI:
    bucket, _, key = rest.partition("/")
    return ObjectURI(_PROVIDERS.get(scheme, scheme), bucket, key)


def _parse_s3(_: str, rest: str, text: str) -> ObjectURI:
    authority, _, key = rest.partition("/")
    bucket, at, region = authority.partition("@")
    if at and not region:
        raise InvalidURIError(f"{text!r} has an empty region after @: write s3://bucket@region/key or s3://bucket/key")
    return ObjectURI(Provider.S3, bucket, key, region=region or None)


def _parse_oci(_: str, rest: str, text: str) -> ObjectURI:
    authority, _, path = rest.partition("/")
    if authority == "n":
        return _parse_oci_path("n/" + path, text)
    namespace, at, region = authority.partition("@")
    if at and not region:
        raise InvalidURIError(f"{text!r} has an empty region after @: write oci://namespace@region/bucket/key")
    if not path and not at and "/" not in rest:
        # oci://bucket: the namespace is that of the tenancy.
        return ObjectURI(Provider.OCI, authority)
    bucket, _, key = path.partition("/")
    return ObjectURI(Provider.OCI, bucket, key, namespace=namespace or None, region=region or None)


_OCI_PATH = re.compile(r"n/([^/]+)/b/([^/]+)(?:/o(?:/(.*))?)?/?", re.DOTALL)


def _parse_oci_path(path: str, text: str, region: str | None = None, *, decode: bool = False) -> ObjectURI:
    match = _OCI_PATH.fullmatch(path)
    if match is None:
        raise InvalidURIError(
            f"{text!r} names no object by n/namespace/b/bucket/o/key: write oci://namespace/bucket/key"
        )
    namespace, bucket, key = match.group(1), match.group(2), match.group(3) or ""
    if decode:
        namespace, bucket, key = (_decoded(part, text) for part in (namespace, bucket, key))
    return ObjectURI(Provider.OCI, bucket, key, namespace=namespace, region=region)


def _parse_azure(_: str, rest: str, text: str) -> ObjectURI:
    authority, _, key = rest.partition("/")
    container, at, account = authority.partition("@")
    if at and not account:
        raise InvalidURIError(f"{text!r} has an empty account after @: write azure://container@account/key")
    return ObjectURI(Provider.AZURE, container, key, namespace=_azure_account(account, text) if at else None)


def _parse_az(_: str, rest: str, text: str) -> ObjectURI:
    authority, _, path = rest.partition("/")
    container, _, key = path.partition("/")
    if not container:
        raise InvalidURIError(f"{text!r} names no container: write az://account/container/key")
    return ObjectURI(Provider.AZURE, container, key, namespace=_azure_account(authority, text))


_AZURE_SUFFIX: Final = ".blob.core.windows.net"


def _azure_account(host: str, text: str) -> str:
    account = host.removesuffix(_AZURE_SUFFIX)
    if "." in account:
        raise InvalidURIError(
            f"{text!r} names a host that is not *{_AZURE_SUFFIX}: write azure://container@account/key "
            "and give the endpoint in the configuration"
        )
    return account


def _parse_github(_: str, rest: str, text: str) -> ObjectURI:
    owner, _, path = rest.partition("/")
    name, _slash, tail = path.partition("/")
    repo, at, tag = name.partition("@")
    if at:
        if not tag:
            raise InvalidURIError(f"{text!r} has an empty tag after @: write github://owner/repo@tag/asset")
        return ObjectURI(Provider.GITHUB, repo, f"{tag}/{tail}", namespace=owner)
    if not tail:
        return ObjectURI(Provider.GITHUB, repo, namespace=owner)
    if tail != "releases" and not tail.startswith("releases/"):
        raise InvalidURIError(
            f"{text!r} is no release asset: write github://owner/repo/releases/tag/asset or github://owner/repo@tag/asset"
        )
    return ObjectURI(Provider.GITHUB, repo, tail.removeprefix("releases").removeprefix("/"), namespace=owner)


def _parse_file(_: str, rest: str, text: str) -> ObjectURI:
    if not rest.startswith("/"):
        raise InvalidURIError(f"{text!r} is not absolute: write file:///absolute/path, with three slashes")
    return ObjectURI(Provider.LOCAL, "", rest[1:])


# Hosts of the providers, from their own pages:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
# https://cloud.google.com/storage/docs/request-endpoints
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
# https://docs.oracle.com/iaas/Content/Object/Concepts/dedicatedendpoints.htm
_S3_HOST = re.compile(
    r"(?:(.+)\.)?s3(?:-accelerate|-external-1)?(?:-fips)?(?:\.dualstack)?"
    r"(?:[.-](?!website|fips|accelerate|dualstack)([a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?"
)
_GCS_API_PATH = re.compile(r"(?:download/|upload/)?storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?/?", re.DOTALL)
_OCI_HOST = re.compile(r"(?:.+\.)?objectstorage\.([a-z0-9-]+)\.(?:oraclecloud\.com|oci\.customer-oci\.com)")
_GITHUB_PATH = re.compile(r"([^/]+)/([^/]+)/releases/(?:download/(.+)|tag/(.+)|latest/download/(.+))", re.DOTALL)


def _parse_http(_: str, __: str, ___: str) -> ObjectURI:
    raise InvalidURIError(
        "a plain http address is of no provider: write its own form, such as s3://bucket/key, "
        "and give the endpoint in the configuration"
    )


def _parse_https(_: str, rest: str, text: str) -> ObjectURI:
    host, _, path = rest.partition("/")
    host = host.lower().removesuffix(":443")
    # What is refused here can be a secret, so it is not shown.
    if "?" in rest or "#" in rest:
        # A query is a version, a signature or a SAS token: none is part of a name.
        raise InvalidURIError("an https address is read without its query: give the part before the ?")
    if "@" in host:
        raise InvalidURIError("an https address is read without user and password: give them in the configuration")
    if match := _S3_HOST.fullmatch(host):
        bucket, key = (match.group(1), path) if match.group(1) else _first(path)
        return ObjectURI(Provider.S3, bucket, _decoded(key, text), region=match.group(2))
    if host in ("storage.googleapis.com", "storage.cloud.google.com"):
        if api := _GCS_API_PATH.fullmatch(path):
            return ObjectURI(Provider.GCS, api.group(1), _decoded(api.group(2) or "", text))
        bucket, key = _first(path)
        return ObjectURI(Provider.GCS, bucket, _decoded(key, text))
    if host.endswith(".storage.googleapis.com"):
        return ObjectURI(Provider.GCS, host.removesuffix(".storage.googleapis.com"), _decoded(path, text))
    if host.endswith(_AZURE_SUFFIX):
        container, key = _first(path)
        return ObjectURI(Provider.AZURE, container, _decoded(key, text), namespace=host.removesuffix(_AZURE_SUFFIX))
    if match := _OCI_HOST.fullmatch(host):
        return _parse_oci_path(path, text, match.group(1), decode=True)
    if host == "github.com" and (match := _GITHUB_PATH.fullmatch(path)):
        owner, repo, asset, tag, latest = match.groups()
        key = asset or (f"{tag}/" if tag else f"latest/{latest}")
        return ObjectURI(Provider.GITHUB, repo, _decoded(key, text), namespace=owner)
    raise InvalidURIError(
        f"{text!r} is no address of a provider that we know: write its own form, such as s3://bucket/key, "
        "and give the endpoint in the configuration"
    )


def _first(path: str) -> tuple[str, str]:
    head, _, tail = path.partition("/")
    return head, tail


def _decoded(path: str, text: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as exc:
        raise InvalidURIError(f"{text!r} is not percent-encoded UTF-8") from exc


def _format_plain(uri: ObjectURI) -> str:
    return _with_key(f"{_SCHEMES.get(uri.provider, uri.provider)}://{uri.bucket}", uri.key)


def _format_s3(uri: ObjectURI) -> str:
    return _with_key(f"s3://{uri.bucket}@{uri.region}" if uri.region else f"s3://{uri.bucket}", uri.key)


def _format_oci(uri: ObjectURI) -> str:
    namespace = uri.namespace or ""
    if namespace == "n" and not uri.region:
        # oci://n/... announces the long form.
        return _with_key(f"oci://n/n/b/{uri.bucket}/o", uri.key)
    authority = f"{namespace}@{uri.region}" if uri.region else namespace
    return _with_key(f"oci://{authority}/{uri.bucket}", uri.key)


def _format_azure(uri: ObjectURI) -> str:
    authority = f"{uri.bucket}@{uri.namespace}" if uri.namespace else uri.bucket
    return _with_key(f"azure://{authority}", uri.key)


def _format_github(uri: ObjectURI) -> str:
    repository = f"github://{uri.namespace}/{uri.bucket}"
    return f"{repository}/releases/{uri.key}" if uri.key else repository


def _format_file(uri: ObjectURI) -> str:
    return f"file:///{uri.key}"


def _with_key(base: str, key: str) -> str:
    return f"{base}/{key}" if key else base


def _check(uri: ObjectURI) -> None:
    if not _SCHEME.fullmatch(uri.provider):
        raise InvalidURIError(f"{uri.provider!r} is no provider: a scheme is lower-case letters, digits, + - and .")
    if uri.provider in _NO_PROVIDERS:
        raise InvalidURIError(f"{uri.provider!r} is how a URI can begin, not a provider: {_NO_PROVIDERS[uri.provider]}")
    if uri.provider == Provider.LOCAL:
        if uri.bucket or uri.namespace or uri.region:
            raise InvalidURIError("a file has a path only: write file:///absolute/path")
    else:
        _check_authority(uri)
    _check_key(uri.key, uri.provider)


def _check_authority(uri: ObjectURI) -> None:
    example = _EXAMPLES.get(uri.provider, f"{uri.provider}://bucket/key")
    if not uri.bucket:
        raise InvalidURIError(f"a URI of {uri.provider} names a bucket: write {example}")
    for what, name in (("bucket", uri.bucket), ("namespace", uri.namespace), ("region", uri.region)):
        if name is not None and not _NAME.fullmatch(name):
            raise InvalidURIError(
                f"{name!r} is no {what}: it is empty, or has white space or one of / @ ? # %; write {example}"
            )
    if uri.provider == Provider.GITHUB and not uri.namespace:
        raise InvalidURIError(f"a GitHub URI names an owner and a repository: write {example}")
    if uri.region and uri.provider not in (Provider.S3, Provider.OCI):
        raise InvalidURIError(f"a URI of {uri.provider} has no region: give it in the configuration")
    if uri.namespace and uri.provider not in (Provider.OCI, Provider.AZURE, Provider.GITHUB):
        raise InvalidURIError(f"a URI of {uri.provider} has no namespace: write {example}")
    if uri.provider == Provider.AZURE and "." in (uri.namespace or ""):
        raise InvalidURIError(f"{uri.namespace!r} is no account but a host: write {example}")


def _check_key(key: str, provider: str) -> None:
    try:
        key.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidURIError(f"the {provider} key {key!r} cannot be written as UTF-8") from exc


_SCHEMES: dict[str, str] = {Provider.GCS: "gs"}
_PROVIDERS: dict[str, str] = {"gs": Provider.GCS}
# Schemes of addresses of other providers: as a provider, they would be read back as those.
_NO_PROVIDERS: dict[str, str] = {
    "gs": "that is gcs",
    "az": "that is azure",
    "http": "write s3://bucket/key or another provider's form",
    "https": "write s3://bucket/key or another provider's form",
}
_EXAMPLES: dict[str, str] = {
    Provider.S3: "s3://bucket/key",
    Provider.GCS: "gs://bucket/key",
    Provider.AZURE: "azure://container@account/key",
    Provider.OCI: "oci://namespace/bucket/key",
    Provider.GITHUB: "github://owner/repo/releases/tag/asset",
    Provider.MEMORY: "memory://bucket/key",
}
_PARSERS: dict[str, Callable[[str, str, str], ObjectURI]] = {
    "s3": _parse_s3,
    "oci": _parse_oci,
    "azure": _parse_azure,
    "az": _parse_az,
    "github": _parse_github,
    "file": _parse_file,
    "http": _parse_http,
    "https": _parse_https,
}
_FORMATTERS: dict[str, Callable[[ObjectURI], str]] = {
    Provider.S3: _format_s3,
    Provider.OCI: _format_oci,
    Provider.AZURE: _format_azure,
    Provider.GITHUB: _format_github,
    Provider.LOCAL: _format_file,
}

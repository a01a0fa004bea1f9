"""
URIs of objects: parsed, formatted and joined without losing a character.

Keys are verbatim: ``@ ? # % +``, ``//`` and ``..`` are ordinary characters in a key,
and nothing is decoded. Only the part before the key is parsed.
``parse_uri(str(uri)) == uri`` holds for every :class:`ObjectURI`.

A :class:`URIGrammar` says how the URIs of one provider are written. Packages
declare those of their own drivers under the entry points ``asyncstore.uris``.

The https addresses of the five cloud providers are parsed as well. They are
percent-decoded once, and never produced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import unquote

from asyncstore._support.redact import redact
from asyncstore.errors import InvalidURIError

#: The group under which other packages declare how their URIs are written: scheme = "module:grammar".
ENTRY_POINTS: Final = "asyncstore.uris"

__all__ = ["ObjectURI", "Provider", "URIGrammar", "URILike", "parse_uri"]


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


# The parts before the key: bucket, namespace and region. The providers' own rules are
# stricter; these only make parsing unambiguous.
_NAME = re.compile(r"[^/@?#%\s\x00-\x20\x7f\ud800-\udfff]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_PARTS: Final = ("bucket", "namespace", "region")


@dataclass(frozen=True, slots=True)
class ObjectURI:
    """
    The location of an object, a prefix or a bucket.

    Attributes:
        provider: A :class:`Provider`, or the scheme of a third-party driver.
        bucket: Bucket, Azure container or GitHub repository; empty for files.
        key: The object's key or a prefix, verbatim; empty for the bucket. For a
            file, its absolute path without the first slash; for a GitHub asset,
            ``tag/asset``.
        namespace: The level above the bucket: OCI namespace, Azure account or
            GitHub owner. ``None`` leaves it to the configuration.
        region: The region, if an OCI or S3 URI names one; of Azure, the DNS suffix of a
            cloud other than the public one.
        base: The part of the key that belongs to the root of a storage, if the URI is
            from one; ends in ``/``, or is empty. It does not count in comparisons.
    """

    provider: str
    bucket: str
    key: str = ""
    namespace: str | None = None
    region: str | None = None
    base: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        _grammar_of(self.provider).check(self)
        _check_key(self.key, self.provider)

    def __truediv__(self, key: str) -> ObjectURI:
        """
        Join *key*, verbatim, below this URI: one ``/`` separates the two.
        """
        if not self.key or self.key.endswith("/"):
            return self.with_key(self.key + key)
        return self.with_key(f"{self.key}/{key}")

    @property
    def name(self) -> str:
        """The key relative to the root of the storage that the URI is from; else the key."""
        return self.key.removeprefix(self.base)

    def below(self, root: ObjectURI) -> ObjectURI:
        """
        Return this URI, with a :attr:`name` that is relative to *root*.
        """
        base = f"{root.key.removesuffix('/')}/" if root.key else ""
        if base == self.base:
            return self
        other = self.with_key(self.key)
        object.__setattr__(other, "base", base)
        return other

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
        put(other, "base", self.base)
        return other

    def __str__(self) -> str:
        return _grammar_of(self.provider).format(self)


URILike = str | ObjectURI


def parse_uri(text: URILike) -> ObjectURI:
    """
    Parse a URI of any provider.

    Raises:
        InvalidURIError: *text* is not a URI, or could mean two things. The message
            says what would be accepted.
    """
    if isinstance(text, ObjectURI):
        return text
    if not isinstance(text, str):
        raise InvalidURIError(f"a URI is text or an ObjectURI, not {type(text).__name__}")
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise InvalidURIError(
            f"{redact(text)!r} does not begin with a scheme in lower case: write s3://bucket/key, file:///path "
            "or another provider's form, or join a key to a storage: storage.root / key"
        )
    if scheme in _WEB:
        return _parse_address(scheme, rest, text)
    return (_BY_SCHEME.get(scheme) or _grammar_for(scheme)).parse(rest, text)


@dataclass(frozen=True, kw_only=True)
class URIGrammar:
    """
    How the URIs of one provider are written: ``scheme://form/key``.

    A package declares its own as ``scheme = "module:grammar"`` under the entry
    points :data:`ENTRY_POINTS`. Subclasses parse what *form* cannot say; the text that
    :meth:`format` returns must be parsed to the same URI.

    Attributes:
        provider: The name under which its driver is announced.
        scheme: The scheme of its URIs; by default *provider*.
        form: ``bucket``, ``namespace`` and ``region``, separated by ``/`` or ``@``.
            The part after an ``@`` is optional.
        examples: The accepted forms, for errors; by default *form* itself.
        optional: Other parts of *form* that can be empty.
    """

    provider: str
    scheme: str = ""
    form: str = "bucket"
    examples: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", self.scheme or self.provider)
        if "bucket" not in self._names or not self._names <= {"", *_PARTS}:
            raise ValueError(f"a form has bucket, and may have namespace and region, not {self.form!r}")

    @property
    def hint(self) -> str:
        """
        The accepted forms, for the end of an error message.
        """
        return "write " + " or ".join(self.examples or (f"{self.scheme}://{self.form}/key",))

    def parse(self, rest: str, text: str) -> ObjectURI:
        """
        Return the URI whose text after ``scheme://`` is *rest*.

        Args:
            text: The whole URI, for errors.

        Raises:
            InvalidURIError: It is not a URI of this provider.
        """
        segments = self._segments
        pieces = rest.split("/", len(segments))
        pieces += [""] * (len(segments) + 1 - len(pieces))
        parts: dict[str, str] = {}
        for (name, after), piece in zip(segments, pieces, strict=False):
            value, at, suffix = piece.partition("@") if after else (piece, "", "")
            if at:
                if ":" in value:
                    # What is before the @ can be a password, so it is not shown.
                    raise InvalidURIError(f"a URI has no password: give it in the configuration; {self.hint}")
                if not suffix:
                    raise InvalidURIError(f"{text!r} has nothing after the @: {self.hint}")
                parts[after] = suffix
            if value or name not in self.optional:
                parts[name] = value
        return ObjectURI(self.provider, key=pieces[-1], **parts)

    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        """
        Return the URI of an https address of this provider; ``None`` if *host* is another's.

        *path* is still percent-encoded: use :func:`decoded`.
        """
        return None

    def format(self, uri: ObjectURI) -> str:
        """
        Return the text of *uri*.
        """
        pieces = []
        for name, after in self._segments:
            value, suffix = getattr(uri, name) or "", after and getattr(uri, after)
            pieces.append(f"{value}@{suffix}" if suffix else value)
        return _with_key(f"{self.scheme}://{'/'.join(pieces)}", uri.key)

    def check(self, uri: ObjectURI) -> None:
        """
        Check the parts of *uri* before its key.

        Raises:
            InvalidURIError: A part is missing, not supported, or could not be parsed back.
        """
        for name in _PARTS:
            value: str | None = getattr(uri, name)
            if name not in self._names:
                if value:
                    raise InvalidURIError(f"a URI of {self.provider} has no {name}: {self.hint}")
            elif not (value or (name in self._needless and value is None)):
                raise InvalidURIError(f"a URI of {self.provider} needs a {name}: {self.hint}")
            elif value and not _NAME.fullmatch(value):
                raise InvalidURIError(
                    f"{value!r} is not a valid {name}: it has white space or one of / @ ? # %; {self.hint}"
                )

    @cached_property
    def _segments(self) -> tuple[tuple[str, str], ...]:
        split = (segment.partition("@") for segment in self.form.split("/"))
        return tuple((name, after) for name, _, after in split)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for pair in self._segments for name in pair)

    @cached_property
    def _needless(self) -> frozenset[str]:
        return self.optional.union(after for _, after in self._segments)


def decoded(path: str, text: str) -> str:
    """
    Return *path*, percent-encoded UTF-8, as text.

    Raises:
        InvalidURIError: It is not; the message shows *text*.
    """
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as exc:
        raise InvalidURIError(f"{text!r} is not percent-encoded UTF-8") from exc


# Hosts of the providers, from their own pages:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
# https://cloud.google.com/storage/docs/request-endpoints
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
# https://docs.oracle.com/iaas/Content/Object/Concepts/dedicatedendpoints.htm
# https://docs.oracle.com/iaas/Content/General/Concepts/regions.htm#About__realms
_S3_HOST = re.compile(
    r"(?:(.+)\.)?s3(?:-accelerate|-external-1)?(?:-fips)?(?:\.dualstack)?"
    r"(?:[.-](?!website|fips|accelerate|dualstack)([a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?"
)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html
_ARN = re.compile(r"(arn(?::[^:/]*){4}:(?:outpost[:/][^:/]+[:/])?accesspoint[:/][^:/]+)(?:/(.*))?", re.DOTALL)
# The older name, mutual TLS, and the endpoints of one region.
_GCS_HOSTS = re.compile(
    r"(?:(.+)\.)?(?:storage(?:\.mtls|\.[a-z]+-[a-z]+\d+\.rep)?|commondatastorage)\.googleapis\.com"
    r"|storage\.cloud\.google\.com"
)
_GCS_API_HOSTS: Final = ("www.googleapis.com", "www.mtls.googleapis.com")
_GCS_API_PATH = re.compile(r"(?:download/|upload/)?storage/v1/b/([^/]+)(?:/o(?:/(.*))?)?/?", re.DOTALL)
_GCS_CONSOLE: Final = "console.cloud.google.com"
_GCS_CONSOLE_PATH = re.compile(r"storage/browser/(_details/)?([^/;]+)(?:/([^;]*))?(?:;.*)?", re.DOTALL)
# The public cloud, accounts with endpoints in a DNS zone, and the other clouds:
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints
# https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure
_AZURE_HOST = re.compile(
    r"([a-z0-9]+)\.(?:privatelink\.)?(z\d+\.)?(?:blob|dfs)\."
    r"(core\.windows\.net|storage\.azure\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn)"
)
_AZURE_PUBLIC: Final = "core.windows.net"
_OCI_REALM: Final = r"(?:oraclecloud\d*\.com|oraclecloud\.eu|oraclegovcloud\.(?:com|uk))"
_OCI_HOST = re.compile(rf"(?:[^.]+\.)?objectstorage\.([a-z0-9-]+)\.(?:(?:oci\.)?{_OCI_REALM}|oci\.customer-oci\.com)")
# The APIs that Oracle's service has besides its own.
_OCI_OTHER_API = re.compile(
    rf"(?:(?:[^.]+\.)?compat\.objectstorage|swiftobjectstorage)\.[a-z0-9-]+"
    rf"\.(?:(?:oci\.)?{_OCI_REALM}|oci\.customer-oci\.com)"
)
_OCI_CONSOLE = re.compile(rf"(?:[^.]+\.)?(?:cloud\.oracle\.com|console\.[a-z0-9.-]*{_OCI_REALM})")
_OCI_CONSOLE_PATH = re.compile(r"object-storage/buckets/([^/]+)/([^/]+)(?:/(?:objects|details)?)?")
_OCI_PATH = re.compile(r"n/([^/]+)/b/([^/]+)(?:/o(?:/(.*))?)?/?", re.DOTALL)
# A pre-authenticated request, with or without its host: whoever knows the part after p/ has the object.
_OCI_SECRET = re.compile(r"(?:[^/@]+/)?p/[^/]+/n/[^/]+/b/.*", re.DOTALL)
# Such as eu-frankfurt-1, or its key fra. What else follows an @ is a namespace, which has no hyphens.
_OCI_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)*-\d+|[a-z]{3}", re.IGNORECASE)
_GITHUB_HOSTS: Final = ("github.com", "www.github.com")
_GITHUB_OTHER_HOSTS = re.compile(r"(?:api|uploads|codeload|gist)\.github\.com|[a-z-]+\.githubusercontent\.com")
_GITHUB_PATH = re.compile(
    r"([^/]+)/([^/]+)/releases(?:/(?:download/(.+)|tag/(.+)|latest/download/(.+)|(latest)/?)?)?", re.DOTALL
)


class _S3(URIGrammar):
    def parse(self, rest: str, text: str) -> ObjectURI:
        if not rest.startswith("arn:"):
            return super().parse(rest, text)
        match = _ARN.fullmatch(rest)
        if match is None:
            raise InvalidURIError(
                f"{text!r} is not the ARN of an access point, "
                f"such as s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/key: {self.hint}"
            )
        # A resource can be written with colons as well, which is how it fits before the key.
        return ObjectURI(Provider.S3, match[1].replace("/", ":"), match[2] or "")

    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        match = _S3_HOST.fullmatch(host)
        if match is None:
            return None
        bucket, key = (match.group(1), path) if match.group(1) else _first(path)
        return ObjectURI(Provider.S3, bucket, decoded(key, text), region=match.group(2))


class _GCS(URIGrammar):
    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        if host == _GCS_CONSOLE:
            return self._parse_console(path, text)
        if host in _GCS_API_HOSTS and not _GCS_API_PATH.fullmatch(path):
            return None
        match = _GCS_HOSTS.fullmatch(host)
        if match is not None and match.group(1):
            return ObjectURI(Provider.GCS, match.group(1), decoded(path, text))
        if match is None and host not in _GCS_API_HOSTS:
            return None
        api = _GCS_API_PATH.fullmatch(path)
        bucket, key = (api.group(1), api.group(2) or "") if api else _first(path)
        return ObjectURI(Provider.GCS, bucket, decoded(key, text))

    def _parse_console(self, path: str, text: str) -> ObjectURI:
        match = _GCS_CONSOLE_PATH.fullmatch(path)
        if match is None:
            raise InvalidURIError(f"{text!r} is not the page of a bucket or object in Google's console: {self.hint}")
        details, bucket, key = match.groups()
        # The page of a folder has no slash at its end.
        folder = "" if details or not key or key.endswith("/") else "/"
        return ObjectURI(Provider.GCS, bucket, decoded(f"{key or ''}{folder}", text))


class _Azure(URIGrammar):
    """
    An account can be written as the host of its blobs or of its data lake.

    A host outside the public cloud also gives the region: the DNS suffix of its cloud.
    """

    def parse(self, rest: str, text: str) -> ObjectURI:
        authority, slash, tail = rest.partition("/")
        container, at, host = authority.rpartition("@")
        if at and self.scheme == "az":
            return _BY_SCHEME["azure"].parse(rest, text)
        if not at and self.scheme != "az":
            return super().parse(rest, text)
        account, region = _azure_account(host)
        uri = super().parse(f"{container}{at}{account}{slash}{tail}", text)
        return uri if region is None else replace(uri, region=region)

    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        account, region = _azure_account(host)
        if account == host:
            return None
        container, key = _first(path)
        return ObjectURI(Provider.AZURE, container, decoded(key, text), account, region)

    def format(self, uri: ObjectURI) -> str:
        if uri.region is None:
            return super().format(uri)
        return _with_key(f"azure://{uri.bucket}@{azure_host(uri.namespace or '', uri.region)}", uri.key)

    def check(self, uri: ObjectURI) -> None:
        if uri.region is None:
            super().check(uri)
        else:
            super().check(replace(uri, region=None))
            if _azure_account(azure_host(uri.namespace or "", uri.region)) != (uri.namespace, uri.region):
                raise InvalidURIError(
                    f"{uri.region!r} is not the DNS suffix of another cloud of Azure, such as core.chinacloudapi.cn"
                )
        if "." in (uri.namespace or ""):
            raise InvalidURIError(
                f"{uri.namespace!r} is a host, not an account: {self.hint}, and give the endpoint in the configuration"
            )


def _azure_account(host: str) -> tuple[str, str | None]:
    """
    Return the account, and the DNS suffix of its cloud unless that is the public one; any other *host* as it is.
    """
    match = _AZURE_HOST.fullmatch(host)
    if match is None:
        return host, None
    account, zone, suffix = match.groups()
    return account, None if suffix == _AZURE_PUBLIC else f"{zone or ''}{suffix}"


def azure_host(account: str, suffix: str) -> str:
    """
    Return the host of the blobs of *account* in the cloud with this DNS *suffix*, which can begin with a zone.
    """
    zone = re.match(r"z\d+\.", suffix)
    return f"{account}.{zone.group()}blob.{suffix[zone.end() :]}" if zone else f"{account}.blob.{suffix}"


class _OCI(URIGrammar):
    def parse(self, rest: str, text: str) -> ObjectURI:
        if _OCI_SECRET.fullmatch(rest):
            raise self._is_secret()
        if rest.startswith("n/"):
            return self._parse_path(rest, text)
        authority, _, key = rest.partition("/")
        if not key and "@" not in authority:
            # oci://bucket: the namespace is that of the tenancy.
            return ObjectURI(Provider.OCI, authority)
        bucket, _, namespace = authority.partition("@")
        if namespace and ":" not in bucket and not _OCI_REGION.fullmatch(namespace):
            # The form of Oracle's HDFS connector and of ocifs.
            return ObjectURI(Provider.OCI, bucket, key, namespace)
        return super().parse(rest, text)

    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        if _OCI_OTHER_API.fullmatch(host):
            # The path of Swift's API has a token in some cases, so it is not shown.
            raise InvalidURIError(
                f"{host} is the S3 or Swift API of OCI: {self.hint}; or s3://bucket/key with "
                "endpoint_url='https://namespace.compat.objectstorage.region.oraclecloud.com'"
            )
        if _OCI_CONSOLE.fullmatch(host):
            return self._parse_console(path, text)
        match = _OCI_HOST.fullmatch(host)
        if match is None:
            return None
        if path.startswith("p/"):
            raise self._is_secret()
        return self._parse_path(path, text, match.group(1), decode=True)

    def format(self, uri: ObjectURI) -> str:
        text = super().format(uri)
        if not uri.region and (uri.namespace == "n" or _OCI_SECRET.fullmatch(text.removeprefix("oci://"))):
            # What is after oci:// would be read as another form.
            return _with_key(f"oci://n/{uri.namespace}/b/{uri.bucket}/o", uri.key)
        return text

    def check(self, uri: ObjectURI) -> None:
        super().check(uri)
        if uri.region and not _OCI_REGION.fullmatch(uri.region):
            raise InvalidURIError(f"{uri.region!r} is not a region such as eu-frankfurt-1: {self.hint}")

    def _parse_path(self, path: str, text: str, region: str | None = None, *, decode: bool = False) -> ObjectURI:
        match = _OCI_PATH.fullmatch(path)
        if match is None:
            raise InvalidURIError(f"{text!r} does not have the form n/namespace/b/bucket/o/key: {self.hint}")
        namespace, bucket, key = (decoded(part or "", text) if decode else part or "" for part in match.groups())
        return ObjectURI(Provider.OCI, bucket, key, namespace, region)

    def _parse_console(self, path: str, text: str) -> ObjectURI:
        match = _OCI_CONSOLE_PATH.fullmatch(path)
        if match is None:
            raise InvalidURIError(f"{text!r} is not the page of a bucket in Oracle's console: {self.hint}")
        return ObjectURI(Provider.OCI, match.group(2), namespace=match.group(1))

    def _is_secret(self) -> InvalidURIError:
        return InvalidURIError(
            "this is the address of a pre-authenticated request, which grants access, so it is not shown: "
            f"download it with any HTTP client, or use credentials and {self.hint}"
        )


class _GitHub(URIGrammar):
    def parse(self, rest: str, text: str) -> ObjectURI:
        owner, _, path = rest.partition("/")
        name, _, tail = path.partition("/")
        repo, at, tag = name.partition("@")
        if at:
            if not tag:
                raise InvalidURIError(f"{text!r} has nothing after the @: {self.hint}")
            return ObjectURI(Provider.GITHUB, repo, f"{tag}/{tail}", namespace=owner)
        if tail and tail != "releases" and not tail.startswith("releases/"):
            raise InvalidURIError(f"{text!r} is not a release asset: {self.hint}")
        return ObjectURI(Provider.GITHUB, repo, tail.removeprefix("releases").removeprefix("/"), namespace=owner)

    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        if _GITHUB_OTHER_HOSTS.fullmatch(host):
            # The paths on some of these hosts grant access, so they are not shown.
            raise InvalidURIError(f"{host} does not name the assets of releases: {self.hint}")
        if host not in _GITHUB_HOSTS:
            return None
        match = _GITHUB_PATH.fullmatch(path)
        if match is None:
            raise InvalidURIError(f"{text!r} is not a release or an asset of one: {self.hint}")
        owner, repo, asset, tag, download, latest = match.groups()
        key = asset or (f"{tag.rstrip('/')}/" if tag else f"latest/{download or ''}" if download or latest else "")
        return ObjectURI(Provider.GITHUB, repo, decoded(key, text), namespace=owner)

    def format(self, uri: ObjectURI) -> str:
        repository = f"github://{uri.namespace}/{uri.bucket}"
        return f"{repository}/releases/{uri.key}" if uri.key else repository


class _File(URIGrammar):
    def parse(self, rest: str, text: str) -> ObjectURI:
        if not rest.startswith("/"):
            raise InvalidURIError(f"{text!r} is not absolute: write file:///absolute/path, with three slashes")
        return ObjectURI(Provider.LOCAL, "", rest[1:])

    def format(self, uri: ObjectURI) -> str:
        return f"file:///{uri.key}"

    def check(self, uri: ObjectURI) -> None:
        if uri.bucket or uri.namespace or uri.region:
            raise InvalidURIError(f"a file has only a path: {self.hint}")


_AZURE_EXAMPLES: Final = ("azure://container/key", "azure://container@account/key", "az://account/container/key")
_BUILT_IN: Final = (
    _S3(provider=Provider.S3, form="bucket@region", examples=("s3://bucket/key", "s3://bucket@region/key")),
    _GCS(provider=Provider.GCS, scheme="gs"),
    _Azure(provider=Provider.AZURE, form="bucket@namespace", examples=_AZURE_EXAMPLES),
    _Azure(provider=Provider.AZURE, scheme="az", form="namespace/bucket", examples=_AZURE_EXAMPLES),
    # As Hadoop, Spark and fsspec write them: https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-introduction-abfs-uri
    *(
        _Azure(provider=Provider.AZURE, scheme=scheme, form="bucket@namespace", examples=_AZURE_EXAMPLES)
        for scheme in ("abfs", "abfss", "wasb", "wasbs")
    ),
    _OCI(
        provider=Provider.OCI,
        form="namespace@region/bucket",
        examples=("oci://namespace/bucket/key", "oci://namespace@region/bucket/key", "oci://bucket@namespace/key"),
        optional=frozenset({"namespace"}),
    ),
    _GitHub(
        provider=Provider.GITHUB,
        form="namespace/bucket",
        examples=("github://owner/repo/releases/tag/asset", "github://owner/repo@tag/asset"),
    ),
    _File(provider=Provider.LOCAL, examples=("file:///absolute/path",)),
    URIGrammar(provider=Provider.MEMORY),
)
_BY_SCHEME: Final = {grammar.scheme: grammar for grammar in _BUILT_IN}
_BY_PROVIDER: Final = {grammar.provider: grammar for grammar in reversed(_BUILT_IN)}
_WEB: Final = ("http", "https")


def is_known(scheme: str) -> bool:
    """
    Return whether *scheme* is built in or was found to be declared; reads no files, unlike :func:`parse_uri`.
    """
    if scheme in _BY_SCHEME or scheme in _BY_PROVIDER or scheme in _WEB:
        return True
    return _declared.cache_info().currsize > 0 and any(grammar.scheme == scheme for grammar in _declared())


def _grammar_of(provider: str) -> URIGrammar:
    if grammar := _BY_PROVIDER.get(provider):
        return grammar
    if not _SCHEME.fullmatch(provider):
        raise InvalidURIError(f"{provider!r} is not a provider: a scheme has lower-case letters, digits, + - and .")
    if provider in _WEB:
        raise InvalidURIError(f"{provider!r} is not a provider: write s3://bucket/key or another provider's form")
    if grammar := next((grammar for grammar in _all() if grammar.provider == provider), None):
        return grammar
    if grammar := next((grammar for grammar in _all() if grammar.scheme == provider), None):
        raise InvalidURIError(f"{provider!r} is a URI scheme; the provider is {grammar.provider!r}")
    return URIGrammar(provider=provider)


def _grammar_for(scheme: str) -> URIGrammar:
    if scheme in _BY_PROVIDER:
        return _BY_PROVIDER[scheme]
    return next((grammar for grammar in _all() if grammar.scheme == scheme), None) or _grammar_of(scheme)


def _all() -> Iterator[URIGrammar]:
    yield from _BUILT_IN
    yield from _declared()


@lru_cache
def _declared() -> Sequence[URIGrammar]:
    # Imported here: most programs use only the built-in providers.
    from importlib.metadata import entry_points

    found: list[URIGrammar] = [entry.load() for entry in entry_points(group=ENTRY_POINTS)]
    # A provider's URIs are written with the scheme of the same name, if it has one.
    return sorted(found, key=lambda grammar: grammar.scheme != grammar.provider)


def _parse_address(scheme: str, rest: str, text: str) -> ObjectURI:
    host, _, path = rest.partition("/")
    host = host.lower().removesuffix(":443")
    # What is refused here can be a secret, so it is not shown.
    if scheme == "http":
        raise InvalidURIError(f"plain http addresses do not belong to a provider: {_OWN_FORM}")
    if "?" in rest or "#" in rest:
        # A query is a version, a signature or a SAS token, which are not part of a name.
        raise InvalidURIError("an https address is read without its query: give the part before the ?")
    if "@" in host:
        raise InvalidURIError("an https address is read without user and password: give them in the configuration")
    for grammar in _all():
        if uri := grammar.parse_address(host, path, text):
            return uri
    raise InvalidURIError(f"{host!r} is not the host of a known provider: {_OWN_FORM}")


_OWN_FORM: Final = "write the provider's own form, such as s3://bucket/key, and give the endpoint in the configuration"


def _first(path: str) -> tuple[str, str]:
    head, _, tail = path.partition("/")
    return head, tail


def _with_key(base: str, key: str) -> str:
    return f"{base}/{key}" if key else base


def _check_key(key: str, provider: str) -> None:
    try:
        key.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidURIError(f"the {provider} key {key!r} cannot be written as UTF-8") from exc

"""
The storage account and its endpoint: connection strings, clouds and the emulator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import is_loopback
from asyncstore.uri import azure_host

DEFAULT_SUFFIX: Final = "core.windows.net"

#: The emulator's account and key, which are public:
#: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#azurite-default-account
DEVELOPMENT_ACCOUNT: Final = "devstoreaccount1"
DEVELOPMENT_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # fake: no secret
)
DEVELOPMENT_ENDPOINT: Final = f"http://127.0.0.1:10000/{DEVELOPMENT_ACCOUNT}"

# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name
_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
# An account can have a private endpoint, and its endpoints can be in a DNS zone:
# https://learn.microsoft.com/azure/storage/common/storage-private-endpoints
# https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints
_HOST: Final = re.compile(r"([a-z0-9]{3,24})(?:-secondary)?\.(?:privatelink\.)?(z\d+\.)?blob\.(.+)")
_DATA_LAKE: Final = re.compile(
    r"(?i)(https?://[a-z0-9]{3,24}(?:-secondary)?\.(?:privatelink\.)?(?:z\d+\.)?)dfs"
    r"(\.(?:core\.windows\.net|storage\.azure\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn)\b)"
)

_KNOWN: Final = {
    name.lower(): name
    for name in (
        "AccountName",
        "AccountKey",
        "BlobEndpoint",
        "BlobSecondaryEndpoint",
        "DefaultEndpointsProtocol",
        "DevelopmentStorageProxyUri",
        "EndpointSuffix",
        "SharedAccessSignature",
        "UseDevelopmentStorage",
    )
}


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """
    A parsed connection string.

    https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string

    Attributes:
        account: The account name, if present.
        endpoint: The Blob endpoint, if present or derived from the account name.
        key, sas: The credentials; at most one of them is set.
    """

    account: str | None
    endpoint: str | None
    key: Secret | None = field(default=None, repr=False)
    sas: Secret | None = field(default=None, repr=False)


def parse_connection_string(text: str) -> ConnectionString:
    """
    Parse a connection string. Names are not case-sensitive.

    Raises:
        ConfigurationError: It is malformed. The message contains names, never values.
    """
    pairs = _pairs(text)
    get = pairs.get
    if (get("UseDevelopmentStorage") or "").lower() == "true":
        emulator = _emulator(get("DevelopmentStorageProxyUri"))
        return ConnectionString(DEVELOPMENT_ACCOUNT, emulator, Secret(DEVELOPMENT_KEY))
    account, key, sas, endpoint = (
        get(name) for name in ("AccountName", "AccountKey", "SharedAccessSignature", "BlobEndpoint")
    )
    if key and not account:
        raise ConfigurationError("the connection string has an AccountKey but no AccountName")
    if not account and not endpoint:
        raise ConfigurationError("the connection string has neither AccountName nor BlobEndpoint")
    if endpoint is None and account is not None:
        protocol = get("DefaultEndpointsProtocol") or "https"
        endpoint = account_endpoint(account, get("EndpointSuffix") or DEFAULT_SUFFIX, protocol)
    return ConnectionString(account, endpoint, Secret(key) if key else None, Secret(sas) if sas else None)


def _emulator(proxy: str | None) -> str:
    # The emulator's usual port, on the machine that the URI names, as Microsoft's .NET client has it.
    if not proxy:
        return DEVELOPMENT_ENDPOINT
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("DevelopmentStorageProxyUri must be a URL such as http://host")
    return f"{parts.scheme}://{parts.hostname}:10000/{DEVELOPMENT_ACCOUNT}"


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for setting in text.strip().strip(";").split(";"):
        # Values can contain "=": keys are base64, SAS tokens are queries.
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigurationError("a connection string must have the form name=value;name=value")
        known = _KNOWN.get(name.strip().lower())
        if known is not None:
            pairs[known] = value.strip()
        elif not name.strip().lower().endswith("endpoint"):
            raise ConfigurationError(
                f"unknown name {name.strip()[:40]!r} in the connection string; known names: {sorted(_KNOWN.values())}"
            )
    return pairs


def account_endpoint(account: str, suffix: str, protocol: str = "https") -> str:
    """
    Return the Blob endpoint of *account* in the cloud with this DNS *suffix*.

    Args:
        suffix: ``core.windows.net``, ``core.chinacloudapi.cn``, ``core.usgovcloudapi.net``, ...

    Raises:
        ConfigurationError: An argument is not valid in a host name.
    """
    if not _ACCOUNT.fullmatch(account):
        raise ConfigurationError(
            f"{account!r} is not a valid storage account name: use 3 to 24 lower-case letters and digits"
        )
    if protocol not in ("http", "https") or not re.fullmatch(r"[a-z0-9.-]+", suffix):
        raise ConfigurationError(f"{protocol}://{account}.blob.{suffix} is not a valid Blob endpoint")
    return f"{protocol}://{azure_host(account, suffix.strip('.'))}"


def blob_endpoint(endpoint: str) -> str:
    """
    Return the Blob endpoint of the same account, if *endpoint* is that of its data lake; else *endpoint*.
    """
    return _DATA_LAKE.sub(r"\1blob\2", endpoint, count=1)


def suffix_of(host: str) -> str | None:
    """
    Return the DNS suffix in the host of a Blob endpoint; ``None`` if the host does not contain the account.
    """
    match = _HOST.fullmatch(_name(host))
    return match and f"{match.group(2) or ''}{match.group(3)}"


def account_of(host: str, path: str) -> str | None:
    """
    Return the account name in an endpoint's address, or ``None`` if the address does not contain it.

    Emulators and endpoints with an IP address have the account in the path. Custom
    domains do not contain it.

    Args:
        host: Including the port, if any.
    """
    name = _name(host)
    if match := _HOST.fullmatch(name):
        return match.group(1)
    first = path.strip("/").partition("/")[0].removesuffix("-secondary") or None
    # In a container, the emulator has another host name.
    if first == DEVELOPMENT_ACCOUNT or is_loopback(name.strip("[]")) or re.fullmatch(r"[\d.]+|\[.*\]", name):
        return first
    return None


def _name(host: str) -> str:
    return host.rpartition(":")[0] if re.search(r":\d+$", host) else host

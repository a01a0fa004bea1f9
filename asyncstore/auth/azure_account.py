"""
Which storage account, and where: connection strings, endpoints, clouds and the emulator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from asyncstore.auth.credentials import is_loopback
from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError

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
_HOST: Final = re.compile(r"([a-z0-9]{3,24})(?:-secondary)?\.(?:z\d+\.)?blob\.(.+)")

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
    What a connection string says.

    https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string

    Attributes:
        account: Name of the account, if it is said.
        endpoint: Where the blob service is, if it is said or follows.
        key, sas: The credentials, one or none of them.
    """

    account: str | None
    endpoint: str | None
    key: Secret | None = field(default=None, repr=False)
    sas: Secret | None = field(default=None, repr=False)


def parse_connection_string(text: str) -> ConnectionString:
    """
    Read a connection string; names count in any case.

    Raises:
        ConfigurationError: It is none. The message shows names and no values.
    """
    said = _pairs(text)
    get = said.get
    if (get("UseDevelopmentStorage") or "").lower() == "true":
        if get("DevelopmentStorageProxyUri"):
            raise ConfigurationError("DevelopmentStorageProxyUri is not supported: give endpoint_url")
        return ConnectionString(DEVELOPMENT_ACCOUNT, DEVELOPMENT_ENDPOINT, Secret(DEVELOPMENT_KEY))
    account, key, sas, endpoint = (
        get(name) for name in ("AccountName", "AccountKey", "SharedAccessSignature", "BlobEndpoint")
    )
    if key and not account:
        raise ConfigurationError("the connection string has an AccountKey without an AccountName")
    if not account and not endpoint:
        raise ConfigurationError("the connection string names neither an AccountName nor a BlobEndpoint")
    if endpoint is None and account is not None:
        protocol = get("DefaultEndpointsProtocol") or "https"
        endpoint = account_endpoint(account, get("EndpointSuffix") or DEFAULT_SUFFIX, protocol)
    return ConnectionString(account, endpoint, Secret(key) if key else None, Secret(sas) if sas else None)


def _pairs(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for setting in text.strip().strip(";").split(";"):
        # Values may hold "=": keys are base64, signatures are queries.
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigurationError("a connection string is name=value;name=value")
        known = _KNOWN.get(name.strip().lower())
        if known is not None:
            said[known] = value.strip()
        elif not name.strip().lower().endswith("endpoint"):
            raise ConfigurationError(
                f"a connection string has no {name.strip()[:40]!r}; it has {sorted(_KNOWN.values())}"
            )
    return said


def account_endpoint(account: str, suffix: str, protocol: str = "https") -> str:
    """
    Return where the blobs of *account* are, in the cloud of *suffix*.

    Args:
        suffix: ``core.windows.net``, ``core.chinacloudapi.cn``, ``core.usgovcloudapi.net``, ...

    Raises:
        ConfigurationError: One of them cannot be part of a host name.
    """
    if not _ACCOUNT.fullmatch(account):
        raise ConfigurationError(f"{account!r} is no storage account: 3 to 24 lower-case letters and digits")
    if protocol not in ("http", "https") or not re.fullmatch(r"[a-z0-9.-]+", suffix):
        raise ConfigurationError(f"there are no blobs at {protocol}://{account}.blob.{suffix}")
    return f"{protocol}://{account}.blob.{suffix.strip('.')}"


def account_of(host: str, path: str) -> str | None:
    """
    Return the account that an endpoint belongs to, as far as its address says.

    An emulator, or any server by its address, has the account in the path; a custom
    domain does not tell.

    Args:
        host: With its port, if it has one.
    """
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if match := _HOST.fullmatch(name):
        return match.group(1)
    if is_loopback(name.strip("[]")) or re.fullmatch(r"[\d.]+|\[.*\]", name):
        return path.strip("/").partition("/")[0].removesuffix("-secondary") or None
    return None

"""
The regions of OCI, the domains of their realms, and the hosts of services in them.

A region that is not in the table is looked up where Oracle's tools find new regions,
and otherwise assumed to be in the commercial realm.
https://docs.oracle.com/iaas/Content/API/Concepts/sdk_adding_new_region_endpoints.htm
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from yarl import URL

from asyncstore.auth.credentials import Scope
from asyncstore.errors import ConfigurationError

# https://docs.oracle.com/iaas/Content/General/Concepts/regions.htm
# By domain of the realm: the key and the name of each region.
_REALMS: Final = {
    "oraclecloud.com": """
        yny=ap-chuncheon-1 hyd=ap-hyderabad-1 mel=ap-melbourne-1 bom=ap-mumbai-1 kix=ap-osaka-1 icn=ap-seoul-1
        syd=ap-sydney-1 nrt=ap-tokyo-1 yul=ca-montreal-1 yyz=ca-toronto-1 ams=eu-amsterdam-1 fra=eu-frankfurt-1
        zrh=eu-zurich-1 jed=me-jeddah-1 dxb=me-dubai-1 gru=sa-saopaulo-1 cwl=uk-cardiff-1 lhr=uk-london-1
        iad=us-ashburn-1 phx=us-phoenix-1 sjc=us-sanjose-1 vcp=sa-vinhedo-1 scl=sa-santiago-1 mtz=il-jerusalem-1
        mrs=eu-marseille-1 sin=ap-singapore-1 auh=me-abudhabi-1 lin=eu-milan-1 arn=eu-stockholm-1
        jnb=af-johannesburg-1 cdg=eu-paris-1 qro=mx-queretaro-1 mad=eu-madrid-1 ord=us-chicago-1 mty=mx-monterrey-1
        aga=us-saltlake-2 bog=sa-bogota-1 vap=sa-valparaiso-1 xsp=ap-singapore-2 ruh=me-riyadh-1 onm=ap-delhi-1
        hsg=ap-batam-1 orf=eu-madrid-3 nrq=eu-turin-1 jbp=ap-kulai-2 lej=af-casablanca-1
        """,
    "oraclegovcloud.com": """
        lfi=us-langley-1 luf=us-luke-1 ric=us-gov-ashburn-1 pia=us-gov-chicago-1 tus=us-gov-phoenix-1
        """,
    "oraclegovcloud.uk": "ltn=uk-gov-london-1 brs=uk-gov-cardiff-1",
    "oraclecloud8.com": "nja=ap-chiyoda-1 ukb=ap-ibaraki-1",
    "oraclecloud9.com": "mct=me-dcc-muscat-1 ibr=me-ibri-1",
    "oraclecloud10.com": "wga=ap-dcc-canberra-1",
    "oraclecloud14.com": """
        bgy=eu-dcc-milan-1 mxp=eu-dcc-milan-2 snn=eu-dcc-dublin-2 dtm=eu-dcc-rating-2 dus=eu-dcc-rating-1
        ork=eu-dcc-dublin-1
        """,
    "oraclecloud15.com": "dac=ap-dcc-gazipur-1",
    "oraclecloud.eu": "vll=eu-madrid-2 str=eu-frankfurt-2",
    "oraclecloud20.com": "beg=eu-jovanovac-1",
    "oraclecloud21.com": "doh=me-dcc-doha-1 vve=me-alrayyan-1",
    "oraclecloud23.com": "ebb=us-somerset-1 ebl=us-thames-1",
    "oraclecloud24.com": "avz=eu-dcc-zurich-1 avf=eu-crissier-1",
    "oraclecloud26.com": "ahu=me-abudhabi-3 rba=me-alain-1",
    "oraclecloud29.com": "rkt=me-abudhabi-2 shj=me-abudhabi-4",
    "oraclecloud35.com": "dtz=ap-seoul-2 dln=ap-suwon-1 bno=ap-chuncheon-2",
    "oraclecloud42.com": "yxj=us-ashburn-2 pgc=us-newark-1",
    "oraclecloud51.com": "jsk=eu-budapest-1",
    "oraclecloud52.com": "hnw=sa-riodejaneiro-1",
}

#: The domain of the commercial realm, OC1.
DEFAULT_DOMAIN: Final = "oraclecloud.com"

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{1,40}")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")

# https://docs.oracle.com/iaas/api/: the service, the region, and "oci" for newer services.
_SERVICE: Final = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)(?:\.oci)?")

# An endpoint of one namespace. Other hosts in this domain run customers' code.
# https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/
_DEDICATED: Final = re.compile(
    r"[a-z0-9_-]+\.(?P<service>objectstorage)\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)\.oci\.customer-oci\.com"
)


def _entries() -> Iterator[tuple[str, str, str]]:
    for domain, regions in _REALMS.items():
        for item in regions.split():
            code, _, name = item.partition("=")
            yield code, name, domain


_BY_CODE: Final = {code: name for code, name, _ in _entries()}
_DOMAINS: Final = {name: domain for _, name, domain in _entries()}


def canonical_region(region: str) -> str:
    """
    Return the name of a region; *region* can also be a region key such as ``phx``.

    Raises:
        ConfigurationError: It is not a valid region name.
    """
    name = region.strip().lower()
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{region!r} is not a region name: use one such as us-ashburn-1")
    return _BY_CODE.get(name, name)


def is_domain(text: str) -> bool:
    """
    Return whether *text* can be the domain of a realm.
    """
    return _DOMAIN.fullmatch(text) is not None


def known_domain(region: str) -> str | None:
    """
    Return the domain of *region*'s realm, if the table has it.
    """
    return _DOMAINS.get(region)


def find_domain(region: str) -> str:
    """
    Return the domain of *region*'s realm. This may read a file.

    It comes from the table, ``~/.oci/regions-config.json``, ``OCI_REGION_METADATA`` or
    ``OCI_DEFAULT_REALM``, in this order.

    Raises:
        ConfigurationError: One of these exists and is not valid.
    """
    domain = known_domain(region) or _described_domain(region) or os.environ.get("OCI_DEFAULT_REALM")
    domain = (domain or DEFAULT_DOMAIN).strip().lower()
    if not _DOMAIN.fullmatch(domain):
        raise ConfigurationError(f"the realm of {region} has the domain {domain!r}, which is not valid")
    return domain


def scope_of_host(url: URL) -> Scope | None:
    """
    Return the service and region in the host of *url*; ``None`` if it is not a host of OCI.
    """
    host = (url.raw_host or "").lower()
    if url.scheme != "https" or url.port != 443:
        return None
    realm = next((domain for domain in _REALMS if host.endswith(f".{domain}")), None)
    found = _SERVICE.fullmatch(host.removesuffix(f".{realm}")) if realm else _DEDICATED.fullmatch(host)
    return Scope(found["region"], found["service"]) if found else None


def _described_domain(region: str) -> str | None:
    file = Path("~/.oci/regions-config.json").expanduser()
    sources: list[tuple[str, str]] = []
    try:
        sources.append((str(file), file.read_text("utf-8")))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc}") from None
    if text := os.environ.get("OCI_REGION_METADATA"):
        sources.append(("OCI_REGION_METADATA", text))
    for source, text in sources:
        for description in _descriptions(source, text):
            if str(description.get("regionIdentifier", "")).lower() == region:
                return str(description.get("realmDomainComponent", ""))
    return None


def _descriptions(source: str, text: str) -> Iterable[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(f"{source} is not valid JSON: {exc}") from None
    items = found if isinstance(found, list) else [found]
    if not all(isinstance(item, dict) for item in items):
        raise ConfigurationError(f"{source} must contain one JSON object per region")
    return items

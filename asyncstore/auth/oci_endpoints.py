"""
Which hosts are OCI's own.
"""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

from asyncstore.auth.oci_regions import realm_of
from asyncstore.auth.sigv4 import Scope

# https://docs.oracle.com/iaas/api/: a service, its region, and for newer ones "oci".
_SERVICE: Final = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)(?:\.oci)?")

# An endpoint for one namespace; other services of that domain run what customers wrote.
# https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/
_DEDICATED: Final = re.compile(
    r"[a-z0-9_-]+\.(?P<service>objectstorage)\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)\.oci\.customer-oci\.com"
)


def scope_of_host(url: URL) -> Scope | None:
    """
    Return the service and region that the host of *url* tells; ``None`` if it is not OCI's.
    """
    host = (url.raw_host or "").lower()
    if url.scheme != "https" or url.port != 443:
        return None
    realm = realm_of(host)
    found = _SERVICE.fullmatch(host.removesuffix(f".{realm}")) if realm else _DEDICATED.fullmatch(host)
    return Scope(found["region"], found["service"]) if found else None

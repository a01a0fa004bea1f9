"""
A storage that sends at most so many requests and bytes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from asyncstore.driver import Driver
from asyncstore.engine.ceilings import Ceilings, ThrottledDriver
from asyncstore.errors import ConfigurationError
from asyncstore.storage import Storage


def throttled(
    storage: Storage,
    *,
    requests_per_second: float | None = None,
    bytes_per_second: float | None = None,
    upload_bytes_per_second: float | None = None,
    download_bytes_per_second: float | None = None,
) -> Storage:
    """
    Return a storage with the objects of *storage* that limits its rates.

    What was not used in the last second can be used at once; after that, requests wait their turn, in order. A
    request waits in its place among ``max_requests``, and the wait counts for ``deadline``. The limits
    are those of this process and of this storage: wrap once and share it. Closing it leaves *storage* open.

    The settings of the same names of :func:`asyncstore.open_storage` limit a whole storage.

    Args:
        requests_per_second: Requests of any kind, attempts of retries included; each step of a copy and each page
            of a listing is one. What a driver sends to authenticate is not counted.
        bytes_per_second: Bytes of objects, sent and received together.
        upload_bytes_per_second: Bytes of objects that are sent.
        download_bytes_per_second: Bytes of objects that are received.

    Raises:
        ConfigurationError: A limit is not above 0, or none is given.
    """
    limits = {
        "requests_per_second": requests_per_second,
        "bytes_per_second": bytes_per_second,
        "upload_bytes_per_second": upload_bytes_per_second,
        "download_bytes_per_second": download_bytes_per_second,
    }
    if all(limit is None for limit in limits.values()):
        raise ConfigurationError(
            "give requests_per_second, bytes_per_second, upload_bytes_per_second or download_bytes_per_second"
        )
    return storage.wrapped(partial(_throttled, limits=limits))


def _throttled(driver: Driver, limits: Mapping[str, Any]) -> ThrottledDriver:
    return ThrottledDriver(driver, Ceilings(**limits))

"""
The partitions of AWS: which regions each one has, and how its hosts end.

https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Partition:
    """
    Attributes:
        name: As in ARNs.
        regions: What the names of its regions look like.
        suffix: The end of its host names.
        dual_stack: The end of the names of hosts that IPv6 reaches too; S3 has its own.
    """

    name: str
    regions: re.Pattern[str]
    suffix: str
    dual_stack: str


#: The partitions of the AWS SDKs. Those of an installed SDK are added to them by :func:`load_partitions`.
_OURS: Final = tuple(
    Partition(name, re.compile(regions), suffix, dual_stack)
    for name, regions, suffix, dual_stack in (
        ("aws", r"(?:us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+", "amazonaws.com", "api.aws"),
        ("aws-cn", r"cn-\w+-\d+", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("aws-us-gov", r"us-gov-\w+-\d+", "amazonaws.com", "api.aws"),
        ("aws-iso", r"us-iso-\w+-\d+", "c2s.ic.gov", "api.aws.ic.gov"),
        ("aws-iso-b", r"us-isob-\w+-\d+", "sc2s.sgov.gov", "api.aws.scloud"),
        ("aws-iso-e", r"eu-isoe-\w+-\d+", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("aws-iso-f", r"us-isof-\w+-\d+", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ("aws-eusc", r"eusc-de-\w+-\d+", "amazonaws.eu", "api.amazonwebservices.eu"),
    )
)

_known: tuple[Partition, ...] = _OURS


def partitions() -> Sequence[Partition]:
    """
    Return all that are known.
    """
    return _known


def partition_of(region: str) -> Partition:
    """
    Return the partition of a region; a region that no partition has belongs to ``aws``, as in AWS's SDKs.
    """
    return next((found for found in _known if found.regions.fullmatch(region)), _known[0])


def partition_named(name: str) -> Partition | None:
    """
    Return the partition that ARNs call *name*.
    """
    return next((found for found in _known if found.name == name), None)


def partition_of_host(host: str) -> Partition | None:
    """
    Return a partition whose hosts end like *host*; ``None`` if it is not a host of AWS.
    """
    return next((found for found in _known if host.endswith((f".{found.suffix}", f".{found.dual_stack}"))), None)


def load_partitions() -> None:
    """
    Add the partitions that an installed botocore knows and that are not in our table; blocks.
    """
    global _known  # noqa: PLW0603 - what is installed does not change
    names = {partition.name for partition in _OURS}
    _known = (*_OURS, *[partition for partition in _of_botocore() if partition.name not in names])


@lru_cache(maxsize=1)
def _of_botocore() -> Sequence[Partition]:
    # Its data file, without importing it.
    spec = find_spec("botocore")
    if spec is None or spec.origin is None:
        return ()
    file = Path(spec.origin).with_name("data") / "partitions.json"
    try:
        document = json.loads(file.read_bytes())
        return tuple(_partition(item) for item in document["partitions"])
    except (OSError, ValueError, LookupError, TypeError, re.error):
        # It has no such file, or another format: ours is a table of the same.
        return ()


def _partition(item: dict[str, object]) -> Partition:
    outputs = item["outputs"]
    if not isinstance(outputs, dict):
        raise TypeError
    pattern = re.compile(str(item["regionRegex"]))
    return Partition(str(item["id"]), pattern, str(outputs["dnsSuffix"]), str(outputs["dualStackDnsSuffix"]))

"""
asyncstore with GCS: reads by the XML API, small writes by the JSON API, large ones by parts.

As its users have it: a CRC32C goes with every write, and what comes is compared with the CRC32C that GCS sends.
"""

from benchmarks.contenders import Target
from benchmarks.contenders.asyncstore_ import Asyncstore, connect_to


async def connect(target: Target) -> Asyncstore:
    """Connect."""
    return await connect_to(f"gs://{target.bucket}", target, token=target.secret_key)

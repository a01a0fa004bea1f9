"""
asyncstore with GCS: reads use the XML API, small writes the JSON API, large writes multipart uploads.

Default settings: every write is sent with a CRC32C, and every read is compared with the CRC32C that GCS returns.
"""

from benchmarks.contenders import Target
from benchmarks.contenders.asyncstore_ import Asyncstore, connect_to


async def connect(target: Target) -> Asyncstore:
    """Connect."""
    return await connect_to(f"gs://{target.bucket}", target, token=target.secret_key)

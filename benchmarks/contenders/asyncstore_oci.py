"""
asyncstore with OCI, its requests signed by a user's key.

As its users have it: a CRC32C goes with every write, and what comes is compared with the CRC32C that OCI sends.
"""

from benchmarks.contenders import Target
from benchmarks.contenders.asyncstore_ import Asyncstore, connect_to


async def connect(target: Target) -> Asyncstore:
    """Connect."""
    tenancy, user, fingerprint = target.access_key.split("/")
    return await connect_to(
        f"oci://{target.account}/{target.bucket}",
        target,
        tenancy=tenancy,
        user=user,
        fingerprint=fingerprint,
        key_content=target.secret_key,
        region="us-ashburn-1",
    )

"""
asyncstore with OCI and a user's key.

Default settings: every write is sent with a CRC32C, and every read is compared with the CRC32C that OCI returns.
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

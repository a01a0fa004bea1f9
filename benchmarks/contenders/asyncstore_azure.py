"""
asyncstore with Azure, its requests signed by the account's key.

As its users have it: a CRC64 goes with every write, and a small blob is compared with the MD5 that Azure sends.
"""

from benchmarks.contenders import Target
from benchmarks.contenders.asyncstore_ import Asyncstore, connect_to


async def connect(target: Target) -> Asyncstore:
    """Connect."""
    return await connect_to(
        f"azure://{target.bucket}", target, account_name=target.access_key, account_key=target.secret_key
    )

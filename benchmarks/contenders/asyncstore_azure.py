"""
asyncstore with Azure and the account key.

Default settings: every write is sent with a CRC64, and a small blob is compared with the MD5 that Azure returns.
"""

from benchmarks.contenders import Target
from benchmarks.contenders.asyncstore_ import Asyncstore, connect_to


async def connect(target: Target) -> Asyncstore:
    """Connect."""
    return await connect_to(
        f"azure://{target.bucket}", target, account_name=target.access_key, account_key=target.secret_key
    )

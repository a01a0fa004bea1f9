"""obstore with Azure and the account key. It neither sends nor compares checksums."""

from obstore.store import AzureStore

from benchmarks.contenders import Target
from benchmarks.contenders.obstore_ import Obstore


async def connect(target: Target) -> Obstore:
    """Connect."""
    store = AzureStore(
        target.bucket,
        account_name=target.access_key,
        account_key=target.secret_key,
        endpoint=target.endpoint,
        client_options={"allow_http": True},
    )
    return Obstore(target, store)

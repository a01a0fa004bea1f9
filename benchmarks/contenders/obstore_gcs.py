"""obstore with GCS, by its XML API; it neither sends nor compares a checksum."""

from obstore.store import GCSStore

from benchmarks.contenders import Target
from benchmarks.contenders.obstore_ import Obstore


async def connect(target: Target) -> Obstore:
    """Connect."""
    store = GCSStore(
        target.bucket,
        base_url=target.endpoint,
        bearer_token=target.secret_key,
        client_options={"allow_http": True},
    )
    return Obstore(target, store)

"""obstore with GCS, which it uses through the XML API. It neither sends nor compares checksums."""

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

"""
Google Cloud Storage's stand-in.

It has what no public emulator has: generations and preconditions on every
request, resumable uploads that keep what was persisted and no more, rewrites in
several calls, uploads by parts with the service's limits, customer-supplied keys,
and checks of tokens, signatures and checksums.
"""

from asyncstore.testing.servers.gcs.server import GCSServer as GCSServer
from asyncstore.testing.servers.gcs.settings import Settings as Settings
from asyncstore.testing.servers.gcs.signers import HmacKey as HmacKey
from asyncstore.testing.servers.gcs.signers import ServiceAccount as ServiceAccount

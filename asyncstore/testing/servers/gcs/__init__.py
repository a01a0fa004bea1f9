"""
The stand-in server for Google Cloud Storage.

It has what no public emulator has: generations and preconditions on every
request, resumable uploads that keep exactly the persisted bytes, rewrites in
several calls, multipart uploads with the service's limits, customer-supplied keys,
and checks of tokens, signatures and checksums.
"""

from asyncstore.testing.servers.gcs.server import GCSServer as GCSServer
from asyncstore.testing.servers.gcs.settings import HmacKey as HmacKey
from asyncstore.testing.servers.gcs.settings import ServiceAccount as ServiceAccount
from asyncstore.testing.servers.gcs.settings import Settings as Settings

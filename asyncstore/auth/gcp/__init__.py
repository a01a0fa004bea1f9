"""
Google Cloud credentials: access tokens by every documented method, and signed URLs.
"""

from asyncstore.auth.gcp.credentials import AUTH_TYPES as AUTH_TYPES
from asyncstore.auth.gcp.credentials import METHODS as METHODS
from asyncstore.auth.gcp.credentials import SETTINGS as SETTINGS
from asyncstore.auth.gcp.credentials import GCPCredentials as GCPCredentials
from asyncstore.auth.gcp.credentials import gcp_credentials as gcp_credentials

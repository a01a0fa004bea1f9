"""
OCI credentials: every principal that Oracle documents, and its request signatures.
"""

from asyncstore.auth.oci.credentials import AUTH_TYPES as AUTH_TYPES
from asyncstore.auth.oci.credentials import METHODS as METHODS
from asyncstore.auth.oci.credentials import SETTINGS as SETTINGS
from asyncstore.auth.oci.credentials import OCICredentials as OCICredentials
from asyncstore.auth.oci.credentials import OCIKeys as OCIKeys
from asyncstore.auth.oci.credentials import oci_credentials as oci_credentials

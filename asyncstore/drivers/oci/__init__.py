"""
Oracle OCI Object Storage, by its own API.
"""

from asyncstore.drivers.oci.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.oci.driver import OCIDriver as OCIDriver
from asyncstore.drivers.oci.driver import open_driver as open_driver
from asyncstore.drivers.oci.preauthenticated import PreauthenticatedRequest as PreauthenticatedRequest

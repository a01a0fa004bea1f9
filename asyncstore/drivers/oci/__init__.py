"""
Oracle OCI Object Storage, through its native API.
"""

from asyncstore.drivers.oci.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.oci.driver import OCIDriver as OCIDriver
from asyncstore.drivers.oci.driver import open_driver as open_driver
from asyncstore.drivers.oci.preauthenticated import PreauthenticatedRequest as PreauthenticatedRequest

"""
Google Cloud Storage, and servers that speak its protocols.
"""

from asyncstore.drivers.gcs.driver import GCSDriver as GCSDriver
from asyncstore.drivers.gcs.driver import open_driver as open_driver

"""
Azure Blob Storage, and its emulator.
"""

from asyncstore.drivers.azure.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.azure.driver import AzureDriver as AzureDriver
from asyncstore.drivers.azure.driver import open_driver as open_driver

"""
Amazon S3, and servers that speak its protocol.
"""

from asyncstore.drivers.s3.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.s3.driver import S3Driver as S3Driver
from asyncstore.drivers.s3.driver import open_driver as open_driver

"""
AWS S3, and what speaks its protocol.

Requests follow https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from asyncstore.drivers.s3.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.s3.driver import S3Driver as S3Driver
from asyncstore.drivers.s3.driver import open_driver as open_driver

__all__ = ["CAPABILITIES", "S3Driver", "open_driver"]

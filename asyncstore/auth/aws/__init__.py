"""
AWS credentials: every method that AWS documents, and its request signatures.
"""

from asyncstore.auth.aws.credentials import AUTH_TYPES as AUTH_TYPES
from asyncstore.auth.aws.credentials import METHODS as METHODS
from asyncstore.auth.aws.credentials import SETTINGS as SETTINGS
from asyncstore.auth.aws.credentials import AWSCredentials as AWSCredentials
from asyncstore.auth.aws.credentials import aws_credentials as aws_credentials

"""
Azure Storage credentials: account keys, shared access signatures and Microsoft Entra tokens.
"""

from asyncstore.auth.azure.credentials import AUTH_TYPES as AUTH_TYPES
from asyncstore.auth.azure.credentials import METHODS as METHODS
from asyncstore.auth.azure.credentials import SCOPE as SCOPE
from asyncstore.auth.azure.credentials import SETTINGS as SETTINGS
from asyncstore.auth.azure.credentials import AzureCredentials as AzureCredentials
from asyncstore.auth.azure.credentials import azure_credentials as azure_credentials

"""
GitHub credentials: tokens, GitHub Apps and anonymous access.
"""

from asyncstore.auth.github.credentials import API_URL as API_URL
from asyncstore.auth.github.credentials import API_VERSION as API_VERSION
from asyncstore.auth.github.credentials import AUTH_TYPES as AUTH_TYPES
from asyncstore.auth.github.credentials import METHODS as METHODS
from asyncstore.auth.github.credentials import SETTINGS as SETTINGS
from asyncstore.auth.github.credentials import GitHubCredentials as GitHubCredentials
from asyncstore.auth.github.credentials import github_credentials as github_credentials

"""
Delegation tokens: they let an instance or resource principal act on behalf of a user.

https://docs.oracle.com/iaas/Content/API/Concepts/cloudshellintro.htm
"""

from __future__ import annotations

import time
from dataclasses import replace

from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import MAX_FILE, read_token_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.oci.session import KeyGrant, is_token
from asyncstore.auth.tokens import secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError


def check_delegation(settings: MethodSettings) -> None:
    """
    Check that the settings contain at most one token.

    Raises:
        ConfigurationError: They contain two.
    """
    if "delegation_token" in settings.explicit and "delegation_token_file" in settings.explicit:
        raise ConfigurationError("set delegation_token or delegation_token_file, not both")


async def read_delegation_token(settings: MethodSettings) -> str:
    """
    Return the current token.

    Raises:
        ConfigurationError: It is not set, cannot be read, or is malformed.
    """
    if "delegation_token" in settings.explicit:
        token = await secret_text("delegation_token", settings.explicit["delegation_token"]) or ""
    elif file := settings.get("delegation_token_file"):
        # Read every time, because Cloud Shell replaces it.
        token = await in_thread(read_token_file, str(file), "the delegation token", MAX_FILE)
    else:
        raise ConfigurationError(
            "delegation needs delegation_token, delegation_token_file or OCI_CLI_DELEGATION_TOKEN_FILE"
        )
    token = token.strip()
    if not is_token(token):
        raise ConfigurationError("the delegation token is malformed")
    return token


def with_delegation(grant: KeyGrant, token: str) -> KeyGrant:
    """
    Return *grant* with the user's token; it expires with the first of the two.

    Raises:
        UnauthenticatedError: The token has expired, or the principal is anonymous.
    """
    if grant.value is None:
        raise UnauthenticatedError("an anonymous principal cannot act on behalf of a user", provider="oci")
    grant = replace(grant, value=replace(grant.value, delegation_token=token))
    ends = expiry_of(token)
    if ends is None:
        return grant
    left = ends - time.time()
    if left <= 0:
        raise UnauthenticatedError("the delegation token has expired", provider="oci")
    if grant.ttl is None or grant.early is None:
        return replace(grant, ttl=left if grant.ttl is None else min(left, grant.ttl))
    ttl = min(left, grant.ttl)
    # Refresh at the grant's own time, or at half of the shorter lifetime.
    return replace(grant, ttl=ttl, early=ttl - min(grant.ttl - grant.early, ttl / 2))

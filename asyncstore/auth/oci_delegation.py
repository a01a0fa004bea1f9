"""
Delegation tokens: of a user, for whom an instance or a resource acts.

https://docs.oracle.com/iaas/Content/API/Concepts/cloudshellintro.htm
"""

from __future__ import annotations

import time
from dataclasses import replace

from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import MAX_FILE, read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.oci_session import KeyGrant, is_token
from asyncstore.auth.secret_values import secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread


def check_delegation(given: Given) -> None:
    """
    Check that the settings name one token at the most.

    Raises:
        ConfigurationError: They name two.
    """
    if "delegation_token" in given.settings and "delegation_token_file" in given.settings:
        raise ConfigurationError("give delegation_token or delegation_token_file, not both")


async def delegation_of(given: Given) -> str:
    """
    Return the token as it is now.

    Raises:
        ConfigurationError: There is none, or it cannot be read.
    """
    if "delegation_token" in given.settings:
        token = await secret_text("delegation_token", given.settings["delegation_token"]) or ""
    elif file := given.get("delegation_token_file"):
        # Read each time: Cloud Shell replaces it.
        token = await in_thread(read_token_file, str(file), "the delegation token", MAX_FILE)
    else:
        raise ConfigurationError(
            "a delegation needs delegation_token, delegation_token_file or OCI_CLI_DELEGATION_TOKEN_FILE"
        )
    token = token.strip()
    if not is_token(token):
        raise ConfigurationError("the delegation token is none")
    return token


def delegated(grant: KeyGrant, token: str) -> KeyGrant:
    """
    Return *grant* with the token of the user; it ends with the first of both.

    Raises:
        UnauthenticatedError: The token has ended.
    """
    if grant.value is None:
        raise UnauthenticatedError("who has no keys acts for nobody", provider="oci")
    grant = replace(grant, value=replace(grant.value, delegation_token=token))
    ends = expiry_of(token)
    if ends is None:
        return grant
    left = ends - time.time()
    if left <= 0:
        raise UnauthenticatedError("the delegation token has ended", provider="oci")
    if grant.ttl is None or grant.early is None:
        return replace(grant, ttl=left if grant.ttl is None else min(left, grant.ttl))
    ttl = min(left, grant.ttl)
    # Renewed when it would be by itself, or at half of the shorter life.
    return replace(grant, ttl=ttl, early=ttl - min(grant.ttl - grant.early, ttl / 2))

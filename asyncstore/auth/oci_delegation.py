"""
Delegation tokens: of a user, for whom an instance or a resource acts.

https://docs.oracle.com/iaas/Content/API/Concepts/cloudshellintro.htm
"""

from __future__ import annotations

from asyncstore.auth.key_files import MAX_FILE, read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.oci_session import is_token
from asyncstore.auth.secret_values import secret_text
from asyncstore.errors import ConfigurationError
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

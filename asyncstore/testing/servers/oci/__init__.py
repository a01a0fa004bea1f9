"""
The stand-in server for OCI Object Storage, in memory.

It follows the service's documentation, its SDKs and recorded replies. Where these are silent, the
behavior is a choice: the error code for a wrong customer key (InvalidParameter) and for a refused
pre-authenticated request (NotAuthorizedOrNotFound), and which checks of a copy happen at once (the
source) or in the work request (the destination). The service documents no limit for an object's
metadata, so the server has none.

:class:`OCIServer` is the server; a :class:`User` may call it. Both need ``cryptography``, which
the extra ``oci`` installs.
"""

from __future__ import annotations

from asyncstore.testing.servers.oci.server import OCIServer
from asyncstore.testing.servers.oci.users import User

__all__ = ["OCIServer", "User"]

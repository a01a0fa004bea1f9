"""
OCI Object Storage, in memory.

It is made after the service's documentation, its SDKs and what others have recorded of it. Where
these say nothing, a choice was made: the code of the failure when a customer's key is wrong
(InvalidParameter) or a pre-authenticated request refused (NotAuthorizedOrNotFound), and what of a copy
is checked at once (the source) and what by the work request (the destination). How much metadata an
object may have is not documented, and not limited.

:class:`OCIServer` is the server; :class:`User` is who may call it. It needs ``cryptography``,
which the extra ``oci`` brings.
"""

from __future__ import annotations

from asyncstore.testing.servers.oci.server import OCIServer
from asyncstore.testing.servers.oci.users import User

__all__ = ["OCIServer", "User"]

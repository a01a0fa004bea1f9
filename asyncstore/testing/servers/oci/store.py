"""
The server's state: buckets, work requests, keys of users, and settings for tests.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.testing.servers.oci.state import Bucket, WorkRequest
from asyncstore.testing.servers.oci.users import Session, User, public_key


@dataclass(slots=True, kw_only=True)
class Store:
    """
    A tenancy's Object Storage in one region.

    Attributes:
        clock_offset: Seconds by which the server's clock is ahead of the machine's.
        restore_seconds: How long restoring an archived object takes.
        min_part_size: Minimum size in bytes of every part but the last. The service's documentation once
            said 10 MiB and now says nothing, and clients send less; so the default accepts any size.
        copy_polls: How many polls report a copy as unfinished. With 0, the copy is done before the
            reply to CopyObject.
        copy_failures: Code and message of the error for each of the next copies.
        other_regions: Other regions that objects can be copied to.
    """

    namespace: str
    region: str
    clock_offset: float = 0.0
    restore_seconds: float = 0.0
    min_part_size: int = 0
    copy_polls: int = 1
    copy_failures: deque[tuple[str, str]] = field(default_factory=deque)
    other_regions: dict[str, Store] = field(default_factory=dict, repr=False)
    work_requests: dict[str, WorkRequest] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    _keys: dict[str, tuple[rsa.RSAPublicKey, float, User]] = field(default_factory=dict)

    def now(self) -> float:
        """
        Return the time, in seconds since 1970.
        """
        return time.time() + self.clock_offset

    def add_user(self, user: User) -> None:
        """
        Accept the API key of *user*.
        """
        self._keys[user.key_id] = (public_key(user.private_key), float("inf"), user)

    def add_session(self, session: Session) -> None:
        """
        Accept *session* until it expires.
        """
        self._keys[session.key_id] = (public_key(session.private_key), session.expires, session.user)

    def add_token(self, token: str, key: rsa.RSAPublicKey, *, expires: float, user: User) -> None:
        """
        Accept requests that name *token* and are signed with *key*, as *user*, until the token expires.

        For principals without a user of their own, such as instances, whose token comes from elsewhere.
        """
        self._keys[f"ST${token}"] = (key, expires, user)

    def revoke(self, key_id: str) -> None:
        """
        Stop accepting a key.
        """
        self._keys.pop(key_id, None)

    def key_of(self, key_id: str, now: float) -> rsa.RSAPublicKey | None:
        """
        Return the key of *key_id*; ``None`` if it is unknown, revoked or expired.
        """
        key, expires, _ = self._keys.get(key_id, (None, 0.0, None))
        return key if now < expires else None

    def user_of(self, key_id: str) -> User:
        """
        Return the owner of a key.
        """
        return self._keys[key_id][2]

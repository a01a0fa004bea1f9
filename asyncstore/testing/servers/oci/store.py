"""
All that the server holds, and who has which key to it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.testing.servers.oci.state import Bucket
from asyncstore.testing.servers.oci.users import Session, User, public_key
from asyncstore.testing.servers.oci.work import WorkRequest


@dataclass(slots=True, kw_only=True)
class Store:
    """
    A tenancy's Object Storage in one region.

    Attributes:
        clock_offset: Seconds by which the server's clock is ahead of the machine's.
        restore_seconds: How long it takes to restore an archived object.
        min_part_size: Bytes that every part but the last must have. The service's documentation once
            said 10 MiB and now says nothing, and clients that send less are in use; so any will do.
        copy_polls: How many times a copy is found under way before it is done; with none, it is
            done before the reply to CopyObject.
        copy_failures: Code and message with which the next copies fail, after that many polls.
        other_regions: Where objects can be copied to, beside the own region.
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
        Let *user* in.
        """
        self._keys[user.key_id] = (public_key(user.private_key), float("inf"), user)

    def add_session(self, session: Session) -> None:
        """
        Let in who holds *session*, until it ends.
        """
        self._keys[session.key_id] = (public_key(session.private_key), session.expires, session.user)

    def add_token(self, token: str, key: rsa.RSAPublicKey, *, expires: float, user: User) -> None:
        """
        Let in who signs with *key* and names *token*, until it expires, as *user*.

        So are those let in that have no user of their own, such as instances: whoever gave
        them their token says so.
        """
        self._keys[f"ST${token}"] = (key, expires, user)

    def revoke(self, key_id: str) -> None:
        """
        Let in nobody any more with that key.
        """
        self._keys.pop(key_id, None)

    def key_of(self, key_id: str, now: float) -> rsa.RSAPublicKey | None:
        """
        Return the key of *key_id*; ``None`` if nobody, or nobody any more, has it.
        """
        key, expires, _ = self._keys.get(key_id, (None, 0.0, None))
        return key if now < expires else None

    def user_of(self, key_id: str) -> User:
        """
        Return whose key it is.
        """
        return self._keys[key_id][2]

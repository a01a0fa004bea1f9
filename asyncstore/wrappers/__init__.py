"""
Storages that wrap another storage: cached, read-only, confined to a prefix, with prefixes in other storages,
read from replicas, throttled.

Each takes any storage and returns another :class:`~asyncstore.Storage`, so they compose. Every verb works
through them, since they wrap the driver below the verbs; write your own with
:class:`asyncstore.driver.ForwardingDriver` and :meth:`asyncstore.Storage.wrapped`.

A wrapper shares the budgets, retries and observers of the storage that it wraps. Closing it leaves that
storage open; closing the wrapped storage closes its wrappers.
"""

from asyncstore.wrappers.cache.driver import cached as cached
from asyncstore.wrappers.confined import under as under
from asyncstore.wrappers.read_only import read_only as read_only
from asyncstore.wrappers.replicated import replicated as replicated
from asyncstore.wrappers.routed import routed as routed
from asyncstore.wrappers.throttled import throttled as throttled

__all__ = ["cached", "read_only", "replicated", "routed", "throttled", "under"]

"""
A driver that wraps another one forwards everything.
"""

from __future__ import annotations

import inspect

from asyncstore.driver import READS, Driver, ForwardingDriver
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.testing.faults import OPERATIONS, FaultyDriver

# Set by the constructor.
_OWN = {"provider", "bound_to"}


def test_nothing_of_the_contract_is_left_out() -> None:
    """
    A method or attribute that the contract of drivers gains is forwarded, too.
    """
    contract = {name for name in {*vars(Driver), *Driver.__annotations__} if not name.startswith("_")}

    assert contract - set(vars(ForwardingDriver)) == _OWN


def test_operations_that_change_nothing() -> None:
    """
    What reads is named as the methods are.
    """
    assert READS < OPERATIONS


def test_narrowing_reaches_the_wrapped_driver_and_its_listener() -> None:
    """
    What the engine or the driver learns of the endpoint holds on every level.
    """
    memory = MemoryDriver()
    heard: list[str] = []
    memory.on_narrowing = lambda narrowing: heard.append(narrowing.feature)
    wrapper = ForwardingDriver(ForwardingDriver(memory))

    wrapper.narrow("batch deletion", "the endpoint answered 405", delete_batch_size=0)

    assert heard == ["batch deletion"]
    assert wrapper.narrowed == memory.narrowed
    assert wrapper.capabilities.delete_batch_size == memory.capabilities.delete_batch_size == 0


def test_signatures_are_those_of_the_contract() -> None:
    """
    A wrapper takes what the driver takes.
    """
    for name, method in vars(ForwardingDriver).items():
        if inspect.isfunction(method) and name in vars(Driver):
            ours, theirs = inspect.signature(method), inspect.signature(getattr(Driver, name))
            assert list(ours.parameters) == list(theirs.parameters), name


async def test_every_request_is_one_call_with_all_its_uris() -> None:
    """
    The hook sees each request to the wrapped driver once, with the names that it has.
    """
    seen: list[tuple[str, list[str]]] = []

    class Watching(ForwardingDriver):
        async def call(self, op, uris, send):  # type: ignore[no-untyped-def]
            seen.append((op, [uri.key for uri in uris]))
            return await send()

    faults = FaultyDriver(MemoryDriver())
    storage = faults.storage("memory://bucket").wrapped(Watching)
    await storage.put("a", b"data")
    await storage.copy("a", "b")
    await storage.bulk_delete(["a", "b"])

    assert seen == [("put", ["a"]), ("stat", ["a"]), ("copy", ["a", "b"]), ("delete_batch", ["a", "b"])]
    assert faults.calls == {"put": 1, "stat": 1, "copy": 1, "delete_batch": 1}

"""
The one loop that signs and sends requests, recovers from refusals and sends again.

A provider subclasses :class:`Exchange` and defines three things: where a request goes
(:meth:`~Exchange.locate`), how it is signed (:meth:`~Exchange.sign`) and what a refusal
means (:meth:`~Exchange.explain`). Everything else is shared.

Transient errors are retried by the engine, not here. A recovery is different: the refusal
says what was wrong with the request, and the request is sent again after that was corrected.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

from asyncstore._support.redact import redact
from asyncstore._support.threads import in_thread
from asyncstore.driver.body import Body
from asyncstore.errors import NotFoundError, StorageError, UnavailableError
from asyncstore.http.client import HTTPClient
from asyncstore.http.clock import TOLERANCE, ServerClock
from asyncstore.http.error_documents import has_error
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply

_log = logging.getLogger(__name__)

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Bytes of the longest reply that is read into memory: a page of 1,000 long keys.
MAX_REPLY: Final = 16 * 1024 * 1024

# Larger documents are parsed in a thread: a MiB of JSON takes some 10 ms.
_PARSED_IN_LOOP: Final = 256 * 1024

K = TypeVar("K")
K_co = TypeVar("K_co", covariant=True)


class Request(NamedTuple):
    """
    One request before it is signed. Providers may define their own type with these fields and more.

    Attributes:
        method: Such as ``"GET"``.
        path: Percent-encoded, below whatever :meth:`Exchange.locate` puts before it.
        query: Percent-encoded, without the ``?``.
        headers: Sent unchanged.
        body: The bytes to send.
        create_only: The request writes only where no object exists, so a failed condition means that one does.
        accept: A status that counts as success besides those below 300.
        patience: Multiplies ``stall_timeout`` while waiting for the reply, for slow operations of the server.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    create_only: bool = False
    accept: int = 0
    patience: float = 1.0


class Omission(NamedTuple):
    """
    A refused request without a feature that the endpoint may lack.

    Attributes:
        request: The request to send instead.
        feature: The name of the feature, for :meth:`asyncstore.driver.Driver.narrow`.
        reason: The refusal.
        changes: The capabilities that change if the request succeeds.
    """

    request: Any
    feature: str
    reason: str
    changes: Mapping[str, Any] = MappingProxyType({})


class AnyRequest(Protocol):
    """
    The fields of a request that the exchange itself looks at; see :class:`Request`.
    """

    @property
    def method(self) -> str: ...
    @property
    def body(self) -> Body | None: ...
    @property
    def accept(self) -> int: ...
    @property
    def patience(self) -> float: ...


class AnyLease(Protocol[K_co]):
    """
    Credentials for as long as they are valid, such as :class:`asyncstore.auth.credentials.Lease`.
    """

    @property
    def value(self) -> K_co: ...


class AnyCredentials(Protocol[K_co]):
    """
    The credentials that the exchange needs, such as :class:`asyncstore.auth.credentials.Credentials`.
    """

    @property
    def expired_codes(self) -> frozenset[str]: ...
    @property
    def skew_codes(self) -> frozenset[str]: ...
    def current(self) -> AnyLease[K_co] | None: ...
    async def get(self) -> AnyLease[K_co]: ...
    async def refresh(self, stale: Any = None) -> AnyLease[K_co]: ...
    def note_challenge(self, headers: Mapping[str, str]) -> None: ...
    async def aclose(self) -> None: ...


class Exchange(ABC, Generic[K]):
    """
    The requests of one storage to its provider.

    Args:
        http: The connections; closed by :meth:`aclose`.
        credentials: Provide the keys or tokens; closed by :meth:`aclose`. A lease with the
            value ``None`` stands for anonymous requests.

    Attributes:
        credentials: Those passed in.
        clock: The provider's clock.
        on_omission: Called with each omission with which a request succeeded; set by the driver.
        max_recoveries: How often one request is sent again after the cause of its refusal was corrected.
        recoverable: Statuses of refusals whose cause may be correctable.
        client_id_header: The header with the client's request id, which errors contain if the provider returned none.
        max_reply: Bytes of the longest reply that :meth:`read` accepts.
    """

    max_recoveries: ClassVar[int] = 1
    recoverable: ClassVar[frozenset[int]] = frozenset({401})
    client_id_header: ClassVar[str] = ""
    max_reply: ClassVar[int] = MAX_REPLY

    def __init__(self, http: HTTPClient, credentials: AnyCredentials[K]) -> None:
        self.http = http
        self.clock = ServerClock()
        self.on_omission: Callable[[Omission], None] = _ignored
        # Subclasses declare their own type.
        self.credentials: Any = credentials
        self._credentials = credentials

    @abstractmethod
    def locate(self, request: Any) -> tuple[Origin, str] | None:
        """
        Return the server and the percent-encoded path of *request*; ``None`` if :meth:`find` has to ask first.
        """

    async def find(self, request: Any) -> tuple[Origin, str]:
        """
        Return what :meth:`locate` could not, after asking the provider or the credentials.
        """
        raise LookupError(f"{type(self).__name__} does not locate {request!r}")

    @abstractmethod
    def sign(self, request: Any, origin: Origin, path: str, keys: K) -> tuple[Mapping[str, str], str]:
        """
        Return the headers and the query to send, authenticated with *keys*; called for each attempt.
        """

    @abstractmethod
    def explain(self, request: Any, reply: Reply, body: bytes) -> StorageError:
        """
        Return the error that a refusal means.

        Args:
            body: Up to 64 KiB of the reply's body, possibly empty or written by a proxy.
        """

    def relocate(self, request: Any, reply: Reply, body: bytes) -> bool:
        """
        Remember the location of the bucket that a refusal names; return whether it is a new one.
        """
        return False

    async def omit(self, request: Any, reply: Reply, error: StorageError) -> Omission | None:
        """
        Return *request* without a feature that the endpoint may lack, where it is safe to do without.
        """
        return None

    async def send(self, request: Any) -> Reply:
        """
        Send a request and return its reply, which is a success.

        If the provider names another region, rejects credentials that can be refreshed, reports clock
        skew, or does not know a feature that the request can do without, the request is signed and sent again,
        provided that its body can be replayed.

        Raises:
            StorageError: The provider refused the request, or could not be reached.
        """
        recoveries = 0
        omission: Omission | None = None
        credentials = self._credentials
        while True:
            try:
                origin, path = self.locate(request) or await self.find(request)
                lease = credentials.current() or await credentials.get()
            except StorageError as exc:
                # Another request failed, to a token service for example.
                exc.sent = False
                raise
            offset = self.clock.offset
            headers, query = self.sign(request, origin, path, lease.value)
            try:
                reply = await self.http.send(
                    request.method, origin, path, headers, request.body, query=query, patience=request.patience
                )
            except StorageError as exc:
                exc.request_id = exc.request_id or headers.get(self.client_id_header)
                raise
            if reply.status < 300 or reply.status == request.accept:
                if omission is not None:
                    # Only now is it known that the feature was to blame.
                    self.on_omission(omission)
                return reply
            self.clock.note(reply.headers)
            body = await reply.read_error()
            error = self.explain(request, reply, body)
            error.request_id = error.request_id or headers.get(self.client_id_header)
            if recoveries == self.max_recoveries or not (request.body is None or request.body.replayable):
                raise error
            if not await self._recover(request, reply, body, error, lease, offset):
                omission = await self.omit(request, reply, error)
                if omission is None:
                    raise error
                request = omission.request
                _log.debug("sending %s again without %s: %s", request.method, omission.feature, redact(error))
            recoveries += 1

    async def read(self, request: Any) -> tuple[Reply, bytes]:
        """
        Send a request and return its reply with the whole body.

        Raises:
            UnavailableError: The body broke off, or is longer than :attr:`max_reply`.
        """
        reply = await self.send(request)
        self.clock.note(reply.headers)
        return reply, await reply.read(self.max_reply)

    async def perform(self, request: Any) -> Reply:
        """
        Send a request and return its reply, whose body says nothing and has been read.

        Raises:
            StorageError: The reply is an error in spite of its status.
            UnavailableError: The reply is a web page, which no object storage service sends.
        """
        reply = await self.send(request)
        body = await reply.read_error()
        if body and reply.status < 300 and has_error(body):
            raise self.explain(request, reply, body)
        if body and reply.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise UnavailableError(
                "the reply is a web page: this endpoint is not an object storage service",
                status=reply.status,
                request_id=reply.request_id,
            )
        return reply

    async def remove(self, request: Any, missing: Container[str | None]) -> None:
        """
        Send a deletion, which succeeds too if what it names does not exist.

        Raises:
            NotFoundError: The code is one of *missing*: there is not even a bucket.
        """
        try:
            await self.perform(request)
        except NotFoundError as exc:
            if exc.code in missing:
                raise

    async def read_json(self, request: Any) -> tuple[Reply, Any]:
        """
        Send a request and return its reply with the JSON of its body.

        Raises:
            UnavailableError: The body is not JSON.
        """
        reply, body = await self.read(request)
        return reply, await parse_json(reply, body)

    async def lease_value(self) -> K:
        """
        Return the keys or the token in force, refreshed if needed.
        """
        return (self._credentials.current() or await self._credentials.get()).value

    async def aclose(self) -> None:
        """
        Close the connections and the credentials; may be called twice.
        """
        try:
            await self.http.aclose()
        finally:
            await self._credentials.aclose()

    async def _recover(
        self, request: AnyRequest, reply: Reply, body: bytes, error: StorageError, lease: AnyLease[K], offset: float
    ) -> bool:
        if reply.status not in self.recoverable:
            return False
        reason: str | None = "the bucket is elsewhere"
        if not self.relocate(request, reply, body):
            refusal = Refusal(request.method, reply.status, error.code, reply.headers)
            reason = await recover(refusal, self._credentials, self.clock, lease, offset)
        if reason is not None:
            _log.debug("sending %s again after %s %s: %s", request.method, reply.status, error.code or "", reason)
        return reason is not None


def _ignored(omission: Omission) -> None:
    pass


class Refusal(NamedTuple):
    """
    What a refusal says, for :func:`recover`.

    Attributes:
        code: The provider's own code; ``None`` if the reply has none, as to a HEAD.
    """

    method: str
    status: int
    code: str | None
    headers: Mapping[str, str]


async def recover(
    refusal: Refusal, credentials: AnyCredentials[Any], clock: ServerClock, lease: AnyLease[Any], offset: float
) -> str | None:
    """
    Correct the clock or refresh the credentials if *refusal* blames them; return what was corrected.

    Args:
        lease: The credentials that the request was sent with; a value of ``None`` is anonymous.
        offset: That of *clock* when the request was signed: another request may have corrected it since.
    """
    if lease.value is None:
        return None
    code, codes = refusal.code, credentials.skew_codes
    if code in codes or (code is None and codes):
        clock.learn(refusal.headers)
        if abs(clock.offset - offset) > TOLERANCE:
            return f"the server's clock is {clock.offset:+.0f} s ahead"
    # S3 answers HEAD with 400 if the token has expired; without a body the reply has no code.
    nameless = code is None and refusal.status == 400 and refusal.method == "HEAD"
    if refusal.status == 401 or code in credentials.expired_codes or nameless:
        credentials.note_challenge(refusal.headers)
        if (await credentials.refresh(lease)).value != lease.value:
            return "the credentials were refreshed"
    return None


class Anonymous:
    """
    Credentials of an anonymous exchange: every request is signed with ``None``.
    """

    value = None
    expired_codes: frozenset[str] = frozenset()
    skew_codes: frozenset[str] = frozenset()

    def current(self) -> Anonymous:
        return self

    async def get(self) -> Anonymous:
        return self

    async def refresh(self, stale: Any = None) -> Anonymous:
        return self

    def note_challenge(self, headers: Mapping[str, str]) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def parse_json(reply: Reply, body: bytes) -> Any:
    """
    Return the JSON in *body*, the whole body of *reply*; a large one is parsed in a thread.

    Raises:
        UnavailableError: It is not JSON.
    """
    try:
        return json.loads(body) if len(body) <= _PARSED_IN_LOOP else await in_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise UnavailableError(
            "the reply is not valid JSON", status=reply.status, request_id=reply.request_id
        ) from None

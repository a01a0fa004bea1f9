"""
The server: authorizes each request, calls its handler, and sends the reply.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.oci.admission import admit
from asyncstore.testing.servers.oci.buckets import DEFAULT_COMPARTMENT
from asyncstore.testing.servers.oci.call import Call, Reply, http_date
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.known import check_known
from asyncstore.testing.servers.oci.state import Bucket, new_id
from asyncstore.testing.servers.oci.store import Store
from asyncstore.testing.servers.oci.users import Session, User
from asyncstore.testing.servers.stand_in import StandIn


class OCIServer(StandIn):
    """
    OCI Object Storage of one tenancy in one region, in memory.

    It checks signatures, clock skew and the hashes of bodies, and has the service's limits
    and error codes.

    Attributes:
        store: The server's state. Its ``clock_offset``, ``restore_seconds``, ``min_part_size``,
            ``copy_polls`` and ``copy_failures`` can be changed at any time.
    """

    def __init__(
        self,
        *users: User,
        namespace: str = "standin",
        region: str = "us-phoenix-1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.store = Store(namespace=namespace, region=region)
        for user in users:
            self.store.add_user(user)

    def create_bucket(self, name: str, **details: str) -> None:
        """
        Create a bucket, in a default compartment unless *details* (of CreateBucket) name another.
        """
        known = {"compartmentId": DEFAULT_COMPARTMENT, **details, "name": name}
        self.store.buckets[name] = Bucket(name=name, created=self.store.now(), created_by="", details=known)

    def fail(self, status: int, code: str, message: str = "Injected.", **where: Any) -> Fault:
        """
        Answer later requests with an error of the service. The fault counts them in ``met``.

        Args:
            where: Other fields of :class:`Fault`, such as ``method``, ``path`` and ``times``.
        """
        body = json.dumps({"code": code, "message": message}).encode()
        headers = {"content-type": "application/json", "opc-request-id": new_id(), **where.pop("headers", {})}
        return self.inject(Fault(status=status, headers=headers, body=body, **where))

    def link(self, other: OCIServer) -> None:
        """
        Allow copies between this server and *other*, another region of the same tenancy.
        """
        self.store.other_regions[other.store.region] = other.store
        other.store.other_regions[self.store.region] = self.store

    def authenticate(self, user: User, *, seconds: float = 3600.0) -> Session:
        """
        Return a new session of *user*, like ``oci session authenticate``.

        It generates a key, which takes about 0.1 seconds of CPU time.
        """
        session = Session.generate(user, seconds=seconds, now=self.store.now())
        self.store.add_session(session)
        return session

    def introduce(self, folder: Path | None) -> list[str]:
        """
        Add a new user, and return the path of a configuration file for clients.
        """
        user = User.generate()
        self.store.add_user(user)
        config = user.write_config(folder or Path(mkdtemp(prefix="oci-")), self.store.region)
        return [f"namespace: {self.store.namespace}", f"config file: {config}"]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.
        """
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        try:
            reply = await self._carry_out(request, headers)
        except ServiceError as error:
            body = {"code": error.code, "message": error.message}
            reply = Reply(error.status, error.headers, body)
        return await self._send(request, headers, reply)

    async def _carry_out(self, request: web.BaseRequest, headers: Mapping[str, str]) -> Reply:
        query = dict(parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True))
        admission = admit(self.store, request.method, request.raw_path, query, headers)
        check_known(admission.handler, query, headers)
        call = Call(
            request,
            self.store,
            admission.names,
            {**query, **admission.query},
            headers,
            admission.caller,
            admission.signed,
            self.store.now(),
        )
        return await admission.handler(call)

    async def _send(
        self, request: web.BaseRequest, request_headers: Mapping[str, str], reply: Reply
    ) -> web.StreamResponse:
        headers = {
            **reply.headers,
            "date": http_date(self.store.now()),
            "opc-request-id": f"standin-1:{secrets.token_urlsafe(36)}",
            "x-api-id": "native",
        }
        if "opc-client-request-id" in request_headers:
            headers["opc-client-request-id"] = request_headers["opc-client-request-id"]
        if reply.content is not None:
            return await _send_content(request, reply, headers)
        if reply.body is None:
            return web.Response(status=reply.status, headers=headers)
        headers["content-type"] = "application/json"
        return web.Response(status=reply.status, headers=headers, body=json.dumps(reply.body).encode())


async def _send_content(request: web.BaseRequest, reply: Reply, headers: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=headers)
    start, stop = reply.span
    response.content_length = stop - start
    await response.prepare(request)
    if reply.content is not None and request.method != "HEAD":
        for piece in reply.content.read(start, stop):
            await response.write(piece)
    await response.write_eof()
    return response

"""
Work requests: what goes on after the reply, and is asked after until it is done.

A stand-in's does not take time but polls: a test that counts them does not depend on the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore.testing.servers.oci.call import Call, Reply, timestamp
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.paging import page
from asyncstore.testing.servers.oci.state import new_id

_UNDER_WAY: Final = ("ACCEPTED", "IN_PROGRESS")


@dataclass(slots=True, kw_only=True)
class WorkRequest:
    """
    Work that has been accepted.

    Attributes:
        polls_left: How many more times it is found under way; the work is done by the one after.
        work: Called once, with the time; what it raises is the failure.
    """

    accepted: float
    compartment: str
    polls_left: int
    work: Callable[[float], None]
    resources: list[dict[str, Any]]
    status: str = "ACCEPTED"
    finished: float | None = None
    errors: list[dict[str, str]] = field(default_factory=list)
    request_id: str = field(default_factory=new_id)

    @property
    def is_under_way(self) -> bool:
        """
        Whether it is neither done, nor has failed, nor been cancelled.
        """
        return self.status in _UNDER_WAY

    def poll(self, now: float) -> None:
        """
        Go on, for having been asked after.
        """
        if not self.is_under_way:
            return
        if self.polls_left:
            self.polls_left -= 1
            self.status = "IN_PROGRESS"
        else:
            self.carry_out(now)

    def carry_out(self, now: float) -> None:
        """
        Do the work now.
        """
        self.finished = now
        try:
            self.work(now)
            self.status = "COMPLETED"
        except ServiceError as error:
            self.status = "FAILED"
            self.errors.append({"code": error.code, "message": error.message, "timestamp": timestamp(now)})

    def describe(self) -> dict[str, Any]:
        """
        Return it as JSON has it.
        """
        times = {"timeAccepted": timestamp(self.accepted)}
        if self.status != "ACCEPTED":
            times["timeStarted"] = timestamp(self.accepted)
        if self.finished is not None:
            times["timeFinished"] = timestamp(self.finished)
        return {
            "operationType": "COPY_OBJECT",
            "status": self.status,
            "id": self.request_id,
            "compartmentId": self.compartment,
            "resources": self.resources,
            "percentComplete": 100.0 if self.status == "COMPLETED" else 0.0,
            **times,
        }


async def get_work_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest/GetWorkRequest
    """
    request = _found(call)
    request.poll(call.now)
    return Reply(200, body=request.describe())


async def list_work_requests(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest/ListWorkRequests
    """
    if "compartmentId" not in call.query:
        raise ServiceError(400, "MissingCompartmentId", "compartmentId is required")
    entries = [
        (request_id, request.describe())
        for request_id, request in sorted(call.store.work_requests.items())
        if request.compartment == call.query["compartmentId"]
    ]
    chosen, headers = page(entries, call.query)
    return Reply(200, headers, chosen)


async def list_errors(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequestError/ListWorkRequestErrors
    """
    return Reply(200, body=_found(call).errors)


async def list_logs(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequestLogEntry/ListWorkRequestLogs
    """
    request = _found(call)
    return Reply(200, body=[{"message": request.status, "timestamp": timestamp(request.finished or request.accepted)}])


async def cancel_work_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest/CancelWorkRequest
    """
    request = _found(call)
    if not request.is_under_way:
        raise ServiceError(409, "NotCancelable", f"The work request is {request.status} already")
    request.status, request.finished = "CANCELED", call.now
    return Reply(202)


def _found(call: Call) -> WorkRequest:
    request_id = call.names["work_request"]
    if request_id not in call.store.work_requests:
        raise ServiceError(404, "NotAuthorizedOrNotFound", f"There is no work request '{request_id}', or not for you")
    return call.store.work_requests[request_id]

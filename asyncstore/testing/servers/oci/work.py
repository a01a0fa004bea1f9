"""
Work requests: polled, listed and cancelled.
"""

from __future__ import annotations

from typing import Any

from asyncstore.testing.servers.oci.call import Call, Reply, timestamp
from asyncstore.testing.servers.oci.errors import ServiceError
from asyncstore.testing.servers.oci.paging import page
from asyncstore.testing.servers.oci.state import WorkRequest


async def get_work_request(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest/GetWorkRequest
    """
    request = _found(call)
    request.poll(call.now)
    return Reply(200, body=_describe(request))


async def list_work_requests(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequest/ListWorkRequests
    """
    if "compartmentId" not in call.query:
        raise ServiceError(400, "MissingCompartmentId", "compartmentId is required")
    entries = [
        (request_id, _describe(request))
        for request_id, request in sorted(call.store.work_requests.items())
        if request.compartment == call.query["compartmentId"]
    ]
    chosen, headers = page(entries, call.query)
    return Reply(200, headers, chosen)


async def list_errors(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/WorkRequestError/ListWorkRequestErrors
    """
    request = _found(call)
    if request.failure is None:
        return Reply(200, body=[])
    error = {"code": request.failure.code, "message": request.failure.message}
    return Reply(200, body=[{**error, "timestamp": timestamp(request.finished or request.accepted)}])


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
    if not request.is_unfinished:
        raise ServiceError(409, "NotCancelable", f"The work request is already {request.status}")
    request.status, request.finished = "CANCELED", call.now
    return Reply(202)


def _found(call: Call) -> WorkRequest:
    request_id = call.names["work_request"]
    if request_id not in call.store.work_requests:
        raise ServiceError(
            404,
            "NotAuthorizedOrNotFound",
            f"The work request '{request_id}' was not found, or is not yours",
        )
    return call.store.work_requests[request_id]


def _describe(request: WorkRequest) -> dict[str, Any]:
    times = {"timeAccepted": timestamp(request.accepted)}
    if request.status != "ACCEPTED":
        times["timeStarted"] = timestamp(request.accepted)
    if request.finished is not None:
        times["timeFinished"] = timestamp(request.finished)
    return {
        "operationType": "COPY_OBJECT",
        "status": request.status,
        "id": request.request_id,
        "compartmentId": request.compartment,
        "resources": request.resources,
        "percentComplete": 100.0 if request.status == "COMPLETED" else 0.0,
        **times,
    }

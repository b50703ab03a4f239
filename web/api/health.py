"""Health endpoints for load balancers and monitoring: liveness, readiness and system status."""

from datetime import datetime
from typing import Any

from anyio import to_thread
from litestar import MediaType, Response, get

from storage.model.time_limits import age_s
from web.auth import OPEN
from web.display import formatting
from web.display.exports import encode_json
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession
from web.operations import JSON, answering
from web.rendering import TheLake, TheTime

__all__ = ["healthz", "readyz", "status"]

READY_SECONDS = 120


@get(
    "/healthz", media_type=MediaType.TEXT, summary="Liveness", sync_to_thread=False, opt=OPEN,
    operation_class=answering("text/plain"),
)  # fmt: skip
def healthz() -> str:
    """`ok` while the process is alive."""
    return "ok"


@get(
    "/readyz", sync_to_thread=True, summary="Readiness: fresh data", opt=OPEN,
    operation_class=answering(JSON),
)  # fmt: skip
def readyz(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """Age of the newest sample; 503 when it is older than 2 minutes or there is no lake."""
    with lake.snapshot() as reader:
        newest = system_status(reader, lake.folders, request_time).newest_sample
    age = None if newest is None else age_s(newest, request_time)
    ready = age is not None and age <= READY_SECONDS
    return _json(
        {
            "status": "ready" if ready else "stale", "newest_sample": newest, "age_seconds": age,
            "detail": f"the newest sample arrived {formatting.ago(newest, request_time)}",
        },
        200 if ready else 503,
    )  # fmt: skip


@get(
    ["/status.json", "/status", "/api/v1/status"], summary="System status",
    operation_class=answering(JSON),
)  # fmt: skip
async def status(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """Problems with their remedies, outages of the last 24 h, newest sample and commit."""
    return _json(await to_thread.run_sync(_status, lake, request_time), 200)


def _status(lake: LakeSession, now: datetime) -> dict[str, Any]:
    with lake.snapshot() as reader:
        return _as_json(system_status(reader, lake.folders, now))


def _as_json(system: SystemStatus) -> dict[str, Any]:
    return {
        "now": system.now, "newest_sample": system.newest_sample,
        "last_commit": system.last_commit, "waiting": system.pending_segments,
        "troubles": system.problems, "outages": system.outages,
        "model_refused": system.model_refused,
    }  # fmt: skip


def _json(value: Any, status_code: int) -> Response[bytes]:
    return Response(
        encode_json(value), status_code=status_code, media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip

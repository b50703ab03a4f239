"""What load balancers and watchdogs ask: does the site live, and is what it shows fresh?"""

from typing import Any

from litestar import MediaType, Response, get

from web.auth import OPEN
from web.display import formatting
from web.display.exports import encode_json
from web.display.system_status import system_status
from web.rendering import TheLake, TheTime

__all__ = ["ROUTES"]

READY_SECONDS = 120


@get(
    "/healthz",
    media_type=MediaType.TEXT,
    summary="The process lives",
    sync_to_thread=False,
    opt=OPEN,
)
def healthz() -> str:
    """Answers as long as the process does."""
    return "ok"


@get("/readyz", sync_to_thread=True, summary="The data is fresh", opt=OPEN)
def readyz(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """Age of the newest sample; 503 with words when it is stale or there is no lake."""
    with lake.snapshot() as reader:
        newest = system_status(reader, lake.folders, request_time).newest_sample
    age = None if newest is None else (request_time - newest).total_seconds()
    ready = age is not None and age <= READY_SECONDS
    return _json(
        {
            "status": "ready" if ready else "stale", "newest_sample": newest, "age_seconds": age,
            "detail": f"the newest sample came {formatting.ago(newest, request_time)}",
        },
        200 if ready else 503,
    )  # fmt: skip


@get("/status.json", sync_to_thread=True, summary="How the system itself fares")
def status(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """Troubles with their remedies, outages of the last 24 h, newest sample and commit."""
    with lake.snapshot() as reader:
        return _json(system_status(reader, lake.folders, request_time), 200)


def _json(value: Any, status_code: int) -> Response[bytes]:
    return Response(
        encode_json(value), status_code=status_code, media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


ROUTES = (healthz, readyz, status)

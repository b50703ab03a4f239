"""`GET /metrics`: the system's own metrics in Prometheus text format."""

from datetime import UTC, datetime

from litestar import Response, get

from web.operations import answering
from web.rendering import SiteRequest
from web.telemetry.exposition import CONTENT_TYPE
from web.telemetry.telemetry import Telemetry

__all__ = ["metrics"]


@get(
    "/metrics", sync_to_thread=True, summary="The system's own metrics, for Prometheus",
    operation_class=answering("text/plain"),
)  # fmt: skip
def metrics(request: SiteRequest) -> Response[str]:
    """Return text format 0.0.4, with status 200 also when the lake is missing or unreadable."""
    telemetry: Telemetry = request.app.state.telemetry
    return Response(
        telemetry.text(datetime.now(UTC), request.app.state.trace.counters()),
        media_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip

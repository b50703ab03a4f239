"""The sources page: throughput, lag, gaps and problems of each source."""

from datetime import datetime

import pyarrow as pa
from anyio import to_thread
from litestar import Response, get

from web.display import exports
from web.display.source_conflicts import with_source_conflicts
from web.display.source_status import SourceStatus, read_sources, source_rows
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["sources_export", "sources_page"]


def _read(lake: LakeSession, now: datetime) -> tuple[SystemStatus, tuple[SourceStatus, ...]]:
    with lake.snapshot() as reader:
        sources = with_source_conflicts(read_sources(reader, now), reader, now)
        return system_status(reader, lake.folders, now), sources


@get(
    "/sources", sync_to_thread=True, summary="Sources page, problems first",
    operation_class=answering(PAGE),
)  # fmt: skip
def sources_page(request: SiteRequest, lake: TheLake, request_time: TheTime) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    system, sources = _read(lake, request_time)
    return page(
        request, "sources", now=request_time, sources=sources, system=system,
        problems=system.problems, data=lake.folders.data,
    )  # fmt: skip


@get(
    exports.paths("/sources"), summary="Sources as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def sources_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """The sources as JSON, CSV or Parquet; `state` is the sentence on the page."""
    extension = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(_export, lake, extension, request_time)


def _export(lake: LakeSession, extension: str, now: datetime) -> Response[bytes]:
    with lake.snapshot() as reader:
        sources = {each.source: each for each in read_sources(reader, now)}
        rows = source_rows(reader, now)
    states = pa.array([sources[name].summary for name in rows["source"].to_pylist()], pa.string())
    return exports.export_response(rows.append_column("state", states), extension, "sources")

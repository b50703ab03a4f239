"""The sources page: what each source brings, how late it is, and what is wrong with it."""

from datetime import datetime

import pyarrow as pa
from anyio import to_thread
from litestar import Response, get

from web.display import exports
from web.display.source_status import SourceStatus, read_sources
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.rendering import AnyRequest, TheLake, TheTime, page

__all__ = ["ROUTES"]


def _read(lake: LakeSession, now: datetime) -> tuple[SystemStatus, tuple[SourceStatus, ...]]:
    with lake.snapshot() as reader:
        return system_status(reader, lake.folders, now), read_sources(reader, now)


@get("/sources", sync_to_thread=True, summary="The sources, those in trouble first")
def sources_page(request: AnyRequest, lake: TheLake, request_time: TheTime) -> Response[str]:
    """The page, or only its live part when htmx asks for it."""
    status, sources = _read(lake, request_time)
    return page(
        request, "sources", now=request_time, sources=sources, status=status,
        troubles=status.troubles, data=lake.folders.data,
    )  # fmt: skip


@get(exports.paths("/sources"), summary="The sources as data")
async def sources_twin(
    request: AnyRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """What the page shows, as JSON, CSV or Parquet; `state` is its sentence."""
    form = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(_twin, lake, form, request_time)


def _twin(lake: LakeSession, form: str, now: datetime) -> Response[bytes]:
    with lake.snapshot() as reader:
        sources = {each.source: each for each in read_sources(reader, now)}
        rows = reader.query(sql("sources"), now=now)
    told = [sources[name].words for name in rows["source"].to_pylist()]
    return exports.answer(rows.append_column("state", pa.array(told, pa.string())), form, "sources")


ROUTES = (sources_page, sources_twin)

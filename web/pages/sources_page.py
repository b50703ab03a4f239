"""The sources page: throughput, lag, gaps and problems of each source; and one source."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from storage.errors import HoursightError
from web.display import exports
from web.display.source_conflicts import with_source_conflicts
from web.display.source_status import SourceStatus, read_sources, source_rows
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.query_links import query_url
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["source_page", "sources_export", "sources_page"]


class SourceNotFound(HoursightError, NotFoundException):
    """No log names that source."""

    def __init__(self, source: str) -> None:
        super().__init__(f"source {source!r} not found")


@dataclass(frozen=True, slots=True)
class SourceView:
    """Data of the page of one source."""

    system: SystemStatus
    source: SourceStatus
    refusals: list[dict[str, Any]]
    events: list[dict[str, Any]]
    links: dict[str, str]


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


def _read_one(lake: LakeSession, name: str, now: datetime) -> SourceView:
    """Return one source with its refusals. Raises SourceNotFound."""
    with lake.snapshot() as reader:
        sources = with_source_conflicts(read_sources(reader, now), reader, now)
        source = next((each for each in sources if each.source == name), None)
        if source is None:
            raise SourceNotFound(name)
        bound = {"source": name, "now": now}
        names = ("source_refusals", "source_events")
        rows = {each: reader.query(sql(each), **bound).to_pylist() for each in names}
        system = system_status(reader, lake.folders, now)
    links = {each: query_url(each, **bound) for each in names}
    return SourceView(system, source, rows["source_refusals"], rows["source_events"], links)


@get(
    "/sources/{name:str}", sync_to_thread=True, summary="One source: progress and refusals",
    operation_class=answering(PAGE),
)  # fmt: skip
def source_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, name: FromPath[str]
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    view = _read_one(lake, name, request_time)
    return page(
        request, "source", now=request_time, view=view, system=view.system,
        problems=view.system.problems, data=lake.folders.data,
    )  # fmt: skip


@get(
    exports.paths("/sources"), summary="Sources as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def sources_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """The sources as JSON, CSV or Parquet; `state` is the sentence on the page."""
    return await exports.exported(request, "sources", partial(_exported_rows, lake, request_time))


def _exported_rows(lake: LakeSession, now: datetime) -> pa.Table:
    with lake.snapshot() as reader:
        sources = {each.source: each for each in read_sources(reader, now)}
        rows = source_rows(reader, now)
    states = pa.array([sources[name].summary for name in rows["source"].to_pylist()], pa.string())
    return rows.append_column("state", states)

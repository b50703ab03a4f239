"""The page of one server: its status, and 24 h measured and 8 h forecast of each metric."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from storage.errors import HoursightError
from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.names import erased_name, is_name
from storage.query.reader import Reader
from web.display import charts, exports
from web.display.charts import ServerCharts
from web.display.loading import with_loading
from web.display.metric_display import displayed_levels
from web.display.recommendations import next_step, worst_metric
from web.display.server_status import ServerStatus, server_status
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import JSON, PAGE, answering
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["ServerNotFound", "ServerView", "chart_data", "read_server", "server_page"]

HISTORY = timedelta(hours=25)
HORIZON = HORIZON_STEPS * STEP
MAX_SUGGESTIONS = 8


class ServerNotFound(HoursightError, NotFoundException):
    """No server has that name; `similar` are server names close to it."""

    def __init__(self, server: str, similar: list[str], system: SystemStatus) -> None:
        self.server, self.similar, self.system = server, similar, system
        hint = f"; did you mean {', '.join(similar)}?" if similar else ""
        super().__init__(f"server {server!r} not found{hint}")


@dataclass(frozen=True, slots=True)
class ServerView:
    """Data of the server page."""

    system: SystemStatus
    server: ServerStatus
    charts: ServerCharts
    next_step: str
    worst: str | None
    deleted_at: datetime | None  # it was deleted, and has sent again since


def read_server(lake: LakeSession, name: str, now: datetime) -> ServerView:
    """Return one server as of `now` from one snapshot; raise ServerNotFound if it is unknown."""
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        server = _server(reader, name, now, system)
        drawn = _charts(reader, server)
        deleted_at = reader.query(sql("deleted_at"), server=erased_name(name))["ts"][0].as_py()
    worst = worst_metric(server)
    return ServerView(system, server, drawn, next_step(server), worst, deleted_at)


def _server(reader: Reader, name: str, now: datetime, system: SystemStatus) -> ServerStatus:
    # No table has an invalid name, and a NUL in a filter makes DuckLake's own query fail.
    valid = is_name(name)
    rows = reader.query(sql("server"), server=name, now=now).to_pylist() if valid else []
    if not rows:
        names = reader.query(sql("server_names"), now=now).column("server").to_pylist()
        raise ServerNotFound(name, _similar(name, names), system)
    (server,) = with_loading([server_status(rows[0], now)], reader, now)
    return server.without_forecast() if system.model_refused else server


def _similar(name: str, names: list[str]) -> list[str]:
    close = get_close_matches(name, names, n=MAX_SUGGESTIONS, cutoff=0.5)
    containing = [each for each in names if name.lower() in each.lower()]
    return list(dict.fromkeys([*close, *containing]))[:MAX_SUGGESTIONS]


def _charts(reader: Reader, server: ServerStatus) -> ServerCharts:
    name, now = server.server, server.now
    history = reader.query(sql("history"), server=name, start=now - HISTORY, now=now)
    latest = reader.query(sql("readings"), server=name, now=now).to_pylist()[0]
    levels = displayed_levels(server.profile, server.cores)
    drawn = charts.server_charts(history, _forecast(reader, server), latest, levels, now)
    if server.respond_within_minutes is None:
        return drawn
    return drawn.with_first(worst_metric(server))


def _forecast(reader: Reader, server: ServerStatus) -> list[dict[str, Any]]:
    """Return a row per metric; none without a forecast that reaches beyond the present."""
    issued = server.forecast_at
    if not server.has_forecast or issued is None or server.now - issued > HORIZON:
        return []
    rows: list[dict[str, Any]] = reader.query(
        sql("forecast"), server=server.server, issued=issued
    ).to_pylist()
    return rows


def _export(lake: LakeSession, name: str, extension: str, now: datetime) -> Response[bytes]:
    if extension == "json":
        view = read_server(lake, name, now)
        return Response(exports.encode_json(_as_json(view)), media_type="application/json")
    with lake.snapshot() as reader:
        _server(reader, name, now, system_status(reader, lake.folders, now))
        rows = reader.query(
            sql("server_points"), server=name, start=now - timedelta(hours=24), now=now
        )
    return exports.export_response(rows, extension, name)


def _as_json(view: ServerView) -> dict[str, Any]:
    server = view.server
    return {
        **{name: getattr(server, name) for name in ServerStatus.__dataclass_fields__},
        "score": server.score, "severity": server.scored.name, "no_data": server.stale,
        "respond_within_minutes": server.respond_within_minutes, "next_step": view.next_step,
        "charts": view.charts.as_json(),
    }  # fmt: skip


@get(
    "/servers/{server:path}", sync_to_thread=True, summary="One server: page or data",
    operation_class=answering(PAGE, *exports.MEDIA_TYPES),
)  # fmt: skip
def server_page(
    request: SiteRequest, lake: TheLake, request_time: TheTime, server: FromPath[str]
) -> Response[Any]:
    """HTML; with .json, .csv or .parquet after the name the same as data."""
    name = server.removeprefix("/")
    stem, _, extension = name.rpartition(".")
    if stem and extension in exports.FORMATS:
        return _export(lake, stem, extension, request_time)
    view = read_server(lake, name, request_time)
    return page(
        request, "server", now=request_time, view=view, system=view.system,
        problems=view.system.problems,
    )  # fmt: skip


@get(
    "/charts/{server:path}", sync_to_thread=True, summary="Chart data of one server",
    operation_class=answering(JSON),
)  # fmt: skip
def chart_data(lake: TheLake, request_time: TheTime, server: FromPath[str]) -> Response[bytes]:
    """Measured means and forecast quantiles of each metric on one time axis of 5-minute steps.

    `measured` begins at `start`, `ahead` at step `issued`; null is a gap.
    """
    view = read_server(lake, server.removeprefix("/"), request_time)
    return Response(
        exports.encode_json(view.charts.as_json()),
        media_type="application/json", headers={"Cache-Control": "no-store"},
    )  # fmt: skip

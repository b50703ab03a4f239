"""The page of one server: how it stands, and 24 h behind and 8 h ahead of each metric."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from storage.errors import HoursightError
from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.names import is_name
from storage.query.reader import Reader
from web.display import exports
from web.display.charts import Chart, charts_of
from web.display.loading import with_loading
from web.display.metric_display import displayed_levels
from web.display.recommendations import next_step, worst_metric
from web.display.server_status import ServerStatus, standing
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.rendering import AnyRequest, TheLake, TheTime, page

__all__ = ["ROUTES", "ServerNotFound", "ServerView", "read_server"]

HISTORY = timedelta(hours=25)
HORIZON = HORIZON_STEPS * STEP


class ServerNotFound(HoursightError, NotFoundException):
    """No server has that name; `near` are names that come close."""

    def __init__(self, server: str, near: list[str], status: SystemStatus) -> None:
        self.server, self.near, self.status = server, near, status
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"no server is called {server!r}{hint}")


@dataclass(frozen=True, slots=True)
class ServerView:
    """What the server page shows."""

    status: SystemStatus
    standing: ServerStatus
    charts: tuple[Chart, ...]
    next_step: str
    worst: str | None


def read_server(lake: LakeSession, server: str, now: datetime) -> ServerView:
    """One server in one snapshot; ServerNotFound when there is none of that name."""
    with lake.snapshot() as reader:
        status = system_status(reader, lake.folders, now)
        stands = _standing(reader, server, now, status)
        charts = _charts(reader, stands)
    return ServerView(status, stands, tuple(charts), next_step(stands), worst_metric(stands))


def _standing(reader: Reader, server: str, now: datetime, status: SystemStatus) -> ServerStatus:
    # A name that breaks the rule is in no table, and a NUL in a filter stops DuckLake's own query.
    known = is_name(server)
    rows = reader.query(sql("server"), server=server, now=now).to_pylist() if known else []
    if not rows:
        names = reader.query(sql("server_names"), now=now).column("server").to_pylist()
        raise ServerNotFound(server, _near(server, names), status)
    (stands,) = with_loading([standing(rows[0], now)], reader, now)
    return stands.without_forecast() if status.model_refused else stands


def _near(server: str, names: list[str]) -> list[str]:
    close = get_close_matches(server, names, n=8, cutoff=0.5)
    holding = [name for name in names if server.lower() in name.lower()]
    return list(dict.fromkeys([*close, *holding]))[:8]


def _charts(reader: Reader, stands: ServerStatus) -> list[Chart]:
    name, now = stands.server, stands.now
    history = reader.query(sql("history"), server=name, start=now - HISTORY, now=now)
    latest = reader.query(sql("readings"), server=name, now=now).to_pylist()[0]
    levels = displayed_levels(stands.profile, stands.cores)
    return _worst_first(charts_of(history, _forecast(reader, stands), latest, levels, now), stands)


def _forecast(reader: Reader, stands: ServerStatus) -> list[dict[str, Any]]:
    """A row a metric; nothing when there is none that still lies ahead."""
    issued = stands.forecast_at
    if not stands.forecasts or issued is None or stands.now - issued > HORIZON:
        return []
    rows: list[dict[str, Any]] = reader.query(
        sql("forecast"), server=stands.server, issued=issued
    ).to_pylist()
    return rows


def _worst_first(charts: list[Chart], stands: ServerStatus) -> list[Chart]:
    """When somebody has to act, the metric that it is about comes first."""
    if stands.respond_within_minutes is None:
        return charts
    worst = worst_metric(stands)
    return sorted(charts, key=lambda chart: chart.shown.name != worst)


def _twin(lake: LakeSession, server: str, form: str, now: datetime) -> Response[bytes]:
    if form == "json":
        view = read_server(lake, server, now)
        return Response(exports.encode_json(_as_data(view)), media_type="application/json")
    with lake.snapshot() as reader:
        status = system_status(reader, lake.folders, now)
        _standing(reader, server, now, status)
        rows = reader.query(
            sql("server_points"), server=server, start=now - timedelta(hours=24), now=now
        )
    return exports.answer(rows, form, server)


def _as_data(view: ServerView) -> dict[str, Any]:
    stands = view.standing
    return {
        **{name: getattr(stands, name) for name in ServerStatus.__dataclass_fields__},
        "score": stands.score, "severity": stands.scored_word, "no_data": stands.silent,
        "respond_within_minutes": stands.respond_within_minutes, "next_step": view.next_step,
        "charts": _chart_data(view),
    }  # fmt: skip


def _chart_data(view: ServerView) -> dict[str, Any]:
    axis = view.charts[0].axis
    return {
        "start": int(axis.start.timestamp()), "now": int(axis.now.timestamp()), "step": 300,
        "steps": axis.steps, "issued": axis.issued,
        "charts": [chart.numbers() for chart in view.charts],
    }  # fmt: skip


@get("/servers/{server:path}", sync_to_thread=True, summary="One server: page or data")
def server_page(
    request: AnyRequest, lake: TheLake, request_time: TheTime, server: FromPath[str]
) -> Response[Any]:
    """The page; with .json, .csv or .parquet after the name the same as data."""
    name = server.removeprefix("/")
    stem, _, form = name.rpartition(".")
    if stem and form in exports.FORMS:
        return _twin(lake, stem, form, request_time)
    view = read_server(lake, name, request_time)
    status = view.status
    return page(
        request, "server", now=request_time, view=view, status=status, troubles=status.troubles
    )


@get("/charts/{server:path}", sync_to_thread=True, summary="The numbers that its charts draw")
def server_charts(lake: TheLake, request_time: TheTime, server: FromPath[str]) -> Response[bytes]:
    """Measured means and quantiles ahead of each metric on one time axis of 5-minute steps.

    `measured` begins at `start`, `ahead` at step `issued`; null is a gap.
    """
    view = read_server(lake, server.removeprefix("/"), request_time)
    return Response(
        exports.encode_json(_chart_data(view)),
        media_type="application/json", headers={"Cache-Control": "no-store"},
    )  # fmt: skip


ROUTES = (server_page, server_charts)

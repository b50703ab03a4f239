"""The fleet page: every server, worst first."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from anyio import to_thread
from litestar import Response, get
from litestar.params import FromQuery

from storage.model.profiles import PROFILE_NAMES
from storage.query.reader import Reader
from web.display import exports
from web.display.loading import with_loading
from web.display.metric_display import INDICATORS, displayed_levels
from web.display.server_status import RUNGS, ServerStatus, standing
from web.display.svg import Values, line_path, rows_of
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.rendering import AnyRequest, TheLake, TheTime, page

__all__ = ["ROUTES", "FleetFilter", "FleetRow", "FleetView", "read_fleet"]

HALF_HOUR = timedelta(minutes=30)
SPARK_SLOTS = 48  # half hours of the past
SPARK_STEP = 2  # pixels a half hour
SPARK_HEIGHT = 30
PAGE_ROWS = 200
SPARK_LINES = (("cpu_idle_pct", "cpu"), ("mem_used_pct", "mem"))


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator as it stands: `band` is `warn`, `critical` or nothing."""

    label: str
    name: str
    unit: str
    value: float | None
    band: str


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A server on the fleet page; `spark` maps a line's name to its SVG path."""

    standing: ServerStatus
    readings: tuple[Indicator, ...]
    spark: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """What the operator looks for; empty fields let everything through."""

    q: str = ""
    profile: str = ""
    severity: str = ""
    show: int = PAGE_ROWS

    def admits(self, server: ServerStatus) -> bool:
        """Whether a server is to be listed."""
        return (
            self.q.strip().lower() in server.server.lower()
            and self.profile in ("", server.profile)
            and self.severity in ("", server.slug)
        )

    @property
    def on(self) -> bool:
        """Whether anything is filtered at all."""
        return bool(self.q or self.profile or self.severity)


@dataclass(frozen=True, slots=True)
class FleetView:
    """What the fleet page shows."""

    status: SystemStatus
    filter: FleetFilter
    counts: Mapping[str, int]
    rows: tuple[FleetRow, ...]
    matching: int
    total: int


def read_fleet(lake: LakeSession, asked: FleetFilter, now: datetime) -> FleetView:
    """The fleet in one snapshot, worst first."""
    with lake.snapshot() as reader:
        status = system_status(reader, lake.folders, now)
        rows = reader.query(sql("fleet"), now=now).to_pylist()
        servers = [_judged(standing(row, now), status) for row in rows]
        servers = with_loading(servers, reader, now)
        sparks = _Sparks(reader, now, _newest_forecast(servers))
    by_name = {row["server"]: row for row in rows}
    matching = sorted(filter(asked.admits, servers), key=lambda s: (-s.rank, s.server))
    return FleetView(
        status,
        asked,
        Counter(s.slug for s in servers),
        tuple(
            FleetRow(s, readings(s, by_name[s.server]), sparks.of(s))
            for s in matching[: asked.show]
        ),
        len(matching),
        len(servers),
    )


def _judged(server: ServerStatus, status: SystemStatus) -> ServerStatus:
    return server.without_forecast() if status.model_refused else server


def _newest_forecast(servers: Iterable[ServerStatus]) -> datetime | None:
    return max((s.forecast_at for s in servers if s.forecast_at and s.forecasts), default=None)


def readings(server: ServerStatus, values: Mapping[str, float | None]) -> tuple[Indicator, ...]:
    """The indicators that are shown first, with their bands."""
    levels = displayed_levels(server.profile, server.cores)
    return tuple(
        Indicator(i.short, i.name, i.unit, value, i.band(value, levels))
        for i in INDICATORS
        for value in [i.value(values[i.name])]
    )


class _Sparks:
    """The small charts of all servers, from two queries."""

    def __init__(self, reader: Reader, now: datetime, issued: datetime | None) -> None:
        self._past = _past_lines(reader.query(sql("sparks"), start=now - timedelta(hours=24)))
        self._ahead: dict[tuple[str, str], list[float]] = {}
        if issued is not None:
            over = max(0, (now - issued) // HALF_HOUR)
            for row in reader.query(sql("sparks_ahead"), issued=issued).to_pylist():
                self._ahead[row["server"], row["metric"]] = row["medians"][over:]

    def of(self, server: ServerStatus) -> dict[str, str]:
        """The paths of one server's small chart."""
        paths = {}
        for metric, name in SPARK_LINES:
            past = self._past.get((server.server, metric))
            if past is not None:
                paths[name] = _spark(past, metric)
            ahead = self._ahead.get((server.server, metric))
            if ahead and server.forecasts and not server.silent:
                medians = np.array(ahead, dtype=np.float32)
                paths[f"{name}_ahead"] = _spark(medians, metric, SPARK_SLOTS * SPARK_STEP)
        return paths


def _spark(values: Values, metric: str, first: int = 0) -> str:
    shown = 100 - values if metric == "cpu_idle_pct" else values
    return line_path(rows_of(shown, 0, 100, SPARK_HEIGHT), first, SPARK_STEP)


def _past_lines(slots: pa.Table) -> dict[tuple[str, str], Values]:
    """Half-hour means of (server, metric), NaN where there are none."""
    codes = slots.column("server").combine_chunks().dictionary_encode()
    names = codes.dictionary.to_pylist()
    where = (codes.indices.to_numpy(), slots.column("slot").to_numpy().clip(0, SPARK_SLOTS - 1))
    lines = {}
    for metric, _ in SPARK_LINES:
        grid = np.full((len(names), SPARK_SLOTS), np.nan, dtype=np.float32)
        grid[where] = slots.column(metric).to_numpy()
        lines.update({(name, metric): grid[i] for i, name in enumerate(names)})
    return lines


@get("/", sync_to_thread=True, summary="The fleet, worst first")
def fleet_page(
    request: AnyRequest,
    lake: TheLake,
    request_time: TheTime,
    q: FromQuery[str] = "",
    profile: FromQuery[str] = "",
    severity: FromQuery[str] = "",
    show: FromQuery[int] = PAGE_ROWS,
) -> Response[str]:
    """The page, or only its board when htmx asks for it."""
    fleet = read_fleet(lake, FleetFilter(q, profile, severity, max(1, show)), request_time)
    name = "fleet" if fleet.total else "waiting"
    return page(
        request, name, now=request_time, fleet=fleet, status=fleet.status,
        troubles=fleet.status.troubles,
        rungs=RUNGS, profiles=PROFILE_NAMES, data=lake.folders.data,
    )  # fmt: skip


@get(exports.paths("/fleet"), summary="The fleet as data")
async def fleet_twin(request: AnyRequest, lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """The view `fleet_now` with the readings shown first, as JSON, CSV or Parquet.

    Worst first, as on the page; `shown_as` is the page's word, which is `No data` for a silent one.
    """
    form = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(_twin, lake, form, request_time)


def _twin(lake: LakeSession, form: str, now: datetime) -> Response[bytes]:
    with lake.snapshot() as reader:
        rows = reader.query(sql("fleet"), now=now)
        servers = with_loading([standing(row, now) for row in rows.to_pylist()], reader, now)
    words = pa.array([s.word for s in servers], pa.string())
    order = sorted(range(len(servers)), key=lambda i: (-servers[i].rank, servers[i].server))
    rows = rows.append_column("shown_as", words).take(pa.array(order, pa.int64()))
    return exports.answer(rows, form, "fleet")


ROUTES = (fleet_page, fleet_twin)

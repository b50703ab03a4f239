"""The fleet page: every server, worst first."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from anyio import to_thread
from litestar import Response, get
from litestar.params import FromQuery

from storage.model.profiles import PROFILE_NAMES
from storage.model.severity import (
    CRITICAL,
    DANGER,
    HEALTH_STATUSES,
    HEALTHY,
    IMMINENT,
    WARNING,
    HealthStatus,
)
from web.display import exports
from web.display.loading import with_loading
from web.display.metric_display import INDICATORS, displayed_levels
from web.display.server_status import ServerStatus, server_status
from web.display.sparklines import Sparklines
from web.display.system_status import SystemStatus, system_status
from web.lake_session import LakeSession, sql
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["FleetFilter", "FleetRow", "FleetView", "fleet_export", "fleet_page", "read_fleet"]

PAGE_ROWS = 200
# Health statuses whose count is displayed even when it is 0.
ALWAYS_COUNTED = (IMMINENT, CRITICAL, DANGER, WARNING, HEALTHY)


@dataclass(frozen=True, slots=True)
class Indicator:
    """Newest value of an indicator; `band` is the level reached: `warn`, `critical` or empty."""

    label: str
    name: str
    unit: str
    value: float | None
    band: str


@dataclass(frozen=True, slots=True)
class FleetRow:
    """A server on the fleet page; `sparkline` has SVG path data by CSS class."""

    server: ServerStatus
    indicators: tuple[Indicator, ...]
    sparkline: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """Filter and row limit of the fleet page; an empty field matches every server."""

    q: str = ""
    profile: str = ""
    severity: str = ""
    show: int = PAGE_ROWS

    def matches(self, server: ServerStatus) -> bool:
        """Return True if the server is to be listed."""
        return (
            self.q.strip().lower() in server.server.lower()
            and self.profile in ("", server.profile)
            and self.severity in ("", server.health.slug)
        )

    @property
    def on(self) -> bool:
        """Whether any field is set."""
        return bool(self.q or self.profile or self.severity)


@dataclass(frozen=True, slots=True)
class FleetView:
    """Data of the fleet page; `counts` are the servers by slug of their health, worst first."""

    system: SystemStatus
    filter: FleetFilter
    counts: Mapping[str, int]
    rows: tuple[FleetRow, ...]
    matching: int
    total: int

    @property
    def tiles(self) -> list[tuple[HealthStatus, int]]:
        """Health statuses with their counts, worst first."""
        counted = [(status, self.counts.get(status.slug, 0)) for status in HEALTH_STATUSES]
        return [(status, n) for status, n in counted if n or status in ALWAYS_COUNTED]


def read_fleet(lake: LakeSession, fleet_filter: FleetFilter, now: datetime) -> FleetView:
    """Return the fleet as of `now` from one snapshot, worst first."""
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now)
        rows = reader.query(sql("fleet"), now=now).to_pylist()
        servers = [_scored(server_status(row, now), system) for row in rows]
        servers = with_loading(servers, reader, now)
        sparklines = Sparklines(reader, now, _newest_forecast(servers))
    values = {row["server"]: row for row in rows}
    matching = _worst_first(filter(fleet_filter.matches, servers))
    listed = [
        FleetRow(server, indicators(server, values[server.server]), sparklines.paths(server))
        for server in matching[: fleet_filter.show]
    ]
    return FleetView(
        system, fleet_filter, _counts(servers), tuple(listed), len(matching), len(servers),
    )  # fmt: skip


def _counts(servers: Iterable[ServerStatus]) -> dict[str, int]:
    counter = Counter(server.health for server in servers)
    return {status.slug: counter[status] for status in HEALTH_STATUSES if counter[status]}


def _worst_first(servers: Iterable[ServerStatus]) -> list[ServerStatus]:
    return sorted(servers, key=lambda server: (-server.rank, server.server))


def _scored(server: ServerStatus, system: SystemStatus) -> ServerStatus:
    return server.without_forecast() if system.model_refused else server


def _newest_forecast(servers: Sequence[ServerStatus]) -> datetime | None:
    return max((s.forecast_at for s in servers if s.forecast_at and s.has_forecast), default=None)


def indicators(
    server: ServerStatus, values: Mapping[str, float | None]
) -> tuple[Indicator, ...]:  # fmt: skip
    """Return the indicators of a server, their bands by the levels of its profile."""
    levels = displayed_levels(server.profile, server.cores)
    return tuple(
        Indicator(i.short, i.name, i.unit, value, i.band(value, levels))
        for i in INDICATORS
        for value in [i.value(values[i.name])]
    )


@get(
    "/", sync_to_thread=True, summary="Fleet page, worst server first",
    operation_class=answering(PAGE),
)  # fmt: skip
def fleet_page(
    request: SiteRequest,
    lake: TheLake,
    request_time: TheTime,
    q: FromQuery[str] = "",
    profile: FromQuery[str] = "",
    severity: FromQuery[str] = "",
    show: FromQuery[int] = PAGE_ROWS,
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    fleet = read_fleet(lake, FleetFilter(q, profile, severity, max(1, show)), request_time)
    name = "fleet" if fleet.total else "waiting"
    return page(
        request, name, now=request_time, fleet=fleet, system=fleet.system,
        problems=fleet.system.problems, page_rows=PAGE_ROWS,
        statuses=HEALTH_STATUSES, profiles=PROFILE_NAMES, data=lake.folders.data,
    )  # fmt: skip


@get(
    exports.paths("/fleet"), summary="Fleet as data",
    operation_class=answering(*exports.MEDIA_TYPES),
)  # fmt: skip
async def fleet_export(
    request: SiteRequest, lake: TheLake, request_time: TheTime
) -> Response[bytes]:
    """The view `fleet_now` with the newest indicators, as JSON, CSV or Parquet.

    Worst server first; `shown_as` is the health status on the page, such as `No data`.
    """
    extension = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(_export, lake, extension, request_time)


def _export(lake: LakeSession, extension: str, now: datetime) -> Response[bytes]:
    with lake.snapshot() as reader:
        rows = reader.query(sql("fleet"), now=now)
        servers = with_loading([server_status(row, now) for row in rows.to_pylist()], reader, now)
    names = pa.array([server.health.name for server in servers], pa.string())
    order = sorted(range(len(servers)), key=lambda i: (-servers[i].rank, servers[i].server))
    rows = rows.append_column("shown_as", names).take(pa.array(order, pa.int64()))
    return exports.export_response(rows, extension, "fleet")

"""The fleet page: every server, worst first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

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
from storage.query.reader import Reader
from web.display import exports
from web.display.fleet_strip import FleetStrip, fleet_strip
from web.display.fleet_table import FLEET_COLUMNS, FleetTable, fleet_table
from web.display.metric_display import INDICATORS, displayed_levels
from web.display.server_status import ServerStatus, server_status
from web.display.sparklines import Series, Sparkline, read_series, shown_metric, sparkline
from web.display.system_status import SystemStatus, system_status
from web.display.tags import tags_in_force
from web.kept_results import KeptResults
from web.lake_session import LakeSession
from web.operations import PAGE, answering
from web.rendering import SiteRequest, TheLake, TheTime, page

__all__ = ["FleetFilter", "FleetRow", "FleetView", "fleet_export", "fleet_page", "read_fleet"]

PAGE_ROWS = 50
MAX_ROWS = 5000
# Health statuses whose count is displayed even when it is 0.
ALWAYS_COUNTED = (IMMINENT, CRITICAL, DANGER, WARNING, HEALTHY)
GROUPS = ("profile", "site", "tag")


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
    """A server on the fleet page; `change` is what happened to it within 10 minutes."""

    server: ServerStatus
    indicators: tuple[Indicator, ...]
    sparkline: Sparkline
    tags: tuple[str, ...]
    change: str


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """Filter, grouping and row limit of the fleet page; an empty field matches every server."""

    q: str = ""
    profile: str = ""
    severity: str = ""
    show: int = PAGE_ROWS
    site: str = ""
    tag: str = ""
    changed: bool = False
    group: str = ""

    @property
    def on(self) -> bool:
        """Whether any field is set that leaves servers out."""
        return bool(self.query_of("q", "profile", "severity", "site", "tag", "changed"))

    def query_of(self, *names: str) -> str:
        """Return those fields that are set as the query of a URL."""
        given = {name: getattr(self, name) for name in names}
        return urlencode({name: _text(value) for name, value in given.items() if value})

    def link(self, **changes: Any) -> str:
        """Return the path and query of the page with other values in the filter."""
        changed = replace(self, **({"show": PAGE_ROWS} | changes))
        names = [name for name in _FIELDS if name != "show" or changed.show != PAGE_ROWS]
        query = changed.query_of(*names)
        return f"/?{query}" if query else "/"

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the query `memory_fleet_page`."""
        return {
            "q": self.q.strip().lower(), "profile": self.profile, "severity": self.severity,
            "site": self.site, "tag": self.tag, "changed": self.changed,
            "show": min(MAX_ROWS, max(1, self.show)),
        }  # fmt: skip


_FIELDS = tuple(FleetFilter.__dataclass_fields__)


def _text(value: object) -> str:
    return "1" if value is True else str(value)


@dataclass(frozen=True, slots=True)
class FleetView:
    """Data of the fleet page; `counts` are the servers by slug of their health."""

    system: SystemStatus
    filter: FleetFilter
    strip: FleetStrip
    counts: Mapping[str, int]
    rows: tuple[FleetRow, ...]
    matching: int
    total: int
    tags: Sequence[str] = ()
    sites: Sequence[str] = ()
    groups: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @property
    def tiles(self) -> list[tuple[HealthStatus, int]]:
        """Health statuses with their counts, worst first."""
        counted = [(status, self.counts.get(status.slug, 0)) for status in HEALTH_STATUSES]
        return [(status, n) for status, n in counted if n or status in ALWAYS_COUNTED]


def read_fleet(lake: LakeSession, fleet_filter: FleetFilter, now: datetime) -> FleetView:
    """Return the fleet as of `now` from one snapshot, worst first."""
    tags = tags_in_force(lake.folders)
    with lake.snapshot() as reader:
        system = system_status(reader, lake.folders, now, lake.kept)
        table = fleet_table(reader, lake.kept, now, tags, system.model_refused)
        counts = table.query("memory_fleet_counts").to_pylist()
        listed = table.query("memory_fleet_page", **fleet_filter.parameters).to_pylist()
        servers = [_status(row, table, system, now) for row in listed]
        lines = _sparklines(reader, lake.kept, servers, now)
        strip = fleet_strip(reader, lake.kept, counts, now)
    return FleetView(
        system, fleet_filter, strip, {row["health"]: row["servers"] for row in counts},
        tuple(map(_row, listed, servers, lines)), listed[0]["matching"] if listed else 0,
        strip.total, tags.names, _sites(table), _groups(table, fleet_filter),
    )  # fmt: skip


def _status(
    row: Mapping[str, Any], table: FleetTable, system: SystemStatus, now: datetime
) -> ServerStatus:
    server = server_status(row, now)
    if server.stale and server.server in table.loading:
        server = server.while_loading(table.loading[server.server])
    return server.without_forecast() if system.model_refused else server


def _row(row: Mapping[str, Any], server: ServerStatus, line: Sparkline) -> FleetRow:
    own = indicators(server, row)
    return FleetRow(server, own, line, tuple(row["tags"] or ()), row["change"] or "")


def _sites(table: FleetTable) -> list[str]:
    return sorted(filter(None, table.rows["site"].unique().to_pylist()))


def _groups(table: FleetTable, fleet_filter: FleetFilter) -> list[dict[str, Any]]:
    if fleet_filter.group not in GROUPS:
        return []
    groups: list[dict[str, Any]] = table.query(
        "memory_fleet_groups", by=fleet_filter.group, alarming=WARNING.rank,
        show=min(MAX_ROWS, max(1, fleet_filter.show)),
    ).to_pylist()  # fmt: skip
    return groups


def _sparklines(
    reader: Reader, kept: KeptResults, servers: Sequence[ServerStatus], now: datetime
) -> list[Sparkline]:
    issued = _newest_forecast(servers)
    pairs = [(server.server, shown_metric(server)) for server in servers]
    known: dict[tuple[str, str], Series] = kept.read(
        reader, "sparklines", ["metrics_5m", "forecasts"], now, dict, issued
    )
    known.update(read_series(reader, [pair for pair in pairs if pair not in known], now, issued))
    return [
        sparkline(server, metric, known[name, metric])
        for server, (name, metric) in zip(servers, pairs, strict=True)
    ]


def _newest_forecast(servers: Iterable[ServerStatus]) -> datetime | None:
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
    site: FromQuery[str] = "",
    tag: FromQuery[str] = "",
    changed: FromQuery[bool] = False,
    group: FromQuery[str] = "",
) -> Response[str]:
    """HTML; for requests of htmx only the fragment that changes."""
    wanted = FleetFilter(q, profile, severity, max(1, show), site, tag, changed, group)
    fleet = read_fleet(lake, wanted, request_time)
    name = "fleet" if fleet.total else "waiting"
    return page(
        request, name, now=request_time, fleet=fleet, system=fleet.system,
        problems=fleet.system.problems, page_rows=PAGE_ROWS, group_names=GROUPS,
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
        table = fleet_table(reader, lake.kept, now, tags_in_force(lake.folders), False)
    names = {status.slug: status.name for status in HEALTH_STATUSES}
    shown = pa.array([names[slug] for slug in table.rows["health"].to_pylist()], pa.string())
    columns = table.rows.column_names[:FLEET_COLUMNS]
    rows = table.rows.select(columns).append_column("shown_as", shown)
    return exports.export_response(rows, extension, "fleet")

"""What the fleet page shows: the list, groups, the heat map, or one metric of every server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.model.metrics import METRIC_NAMES
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
from web.display.fleet_filter import GROUPS, MAX_ROWS, FleetFilter
from web.display.fleet_strip import FleetStrip, fleet_strip
from web.display.fleet_table import FleetTable, fleet_table
from web.display.heat import HeatRow, metric_heat, read_risk_scores, risk_heat
from web.display.metric_display import INDICATORS, MetricDisplay, displayed_levels
from web.display.multiples import SORTS, Multiple, metric_displays, multiple, read_multiples
from web.display.server_status import ServerStatus, server_status
from web.display.shift import EXPECTED_FROM, Shift, shift
from web.display.sparklines import Series, Sparkline, read_series, shown_metric, sparkline
from web.display.system_status import SystemStatus, system_status
from web.display.tags import tags_in_force
from web.lake_session import LakeSession

__all__ = ["FleetRow", "FleetView", "Indicator", "indicators", "read_fleet"]

# Health statuses whose count is displayed even when it is 0.
ALWAYS_COUNTED = (IMMINENT, CRITICAL, DANGER, WARNING, HEALTHY)
# So many expected breaches are looked through for quiet time.
MAX_EXPECTED = 500


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
    multiple: Multiple | None = None


@dataclass(frozen=True, slots=True)
class FleetView:
    """Data of the fleet page; `counts` are the servers by slug of their health."""

    system: SystemStatus
    filter: FleetFilter
    strip: FleetStrip
    counts: Mapping[str, int]
    matching: int
    total: int
    rows: Sequence[FleetRow] = ()
    groups: Sequence[Mapping[str, Any]] = ()
    heat: Sequence[HeatRow] = ()
    shift: Shift | None = None
    tags: Sequence[str] = ()
    sites: Sequence[str] = ()
    displays: Sequence[MetricDisplay] = ()

    @property
    def tiles(self) -> list[tuple[HealthStatus, int]]:
        """Health statuses with their counts, worst first."""
        counted = [(status, self.counts.get(status.slug, 0)) for status in HEALTH_STATUSES]
        return [(status, n) for status, n in counted if n or status in ALWAYS_COUNTED]


class _Read:
    """One read of the fleet: a snapshot, its table and the time."""

    def __init__(
        self, reader: Reader, lake: LakeSession, fleet_filter: FleetFilter, now: datetime
    ) -> None:
        self.reader, self.kept, self.now = reader, lake.kept, now
        self.filter = fleet_filter
        self.displays = metric_displays(lake.folders)
        self.system = system_status(reader, lake.folders, now, lake.kept)
        self.tags = tags_in_force(lake.folders)
        self.table = fleet_table(reader, lake.kept, now, self.tags, self.system.model_refused)

    def view(self) -> FleetView:
        """Return what the filter asks for."""
        counts = self.table.query("memory_fleet_counts").to_pylist()
        strip = fleet_strip(self.reader, self.kept, counts, self.now)
        grouped = self.filter.group in GROUPS
        own, matching = self._groups() if grouped else self._servers(counts)
        return FleetView(
            self.system, self.filter, strip, {row["health"]: row["servers"] for row in counts},
            matching, strip.total, tags=self.tags.names, sites=_sites(self.table),
            displays=tuple(self.displays.values()), **own,
        )  # fmt: skip

    def _groups(self) -> tuple[dict[str, Any], int]:
        rows = self.table.query(
            "memory_fleet_groups", by=self.filter.group, alarming=WARNING.rank,
            show=min(MAX_ROWS, self.filter.show),
        ).to_pylist()  # fmt: skip
        return {"groups": rows}, _matching(rows)

    def _servers(self, counts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], int]:
        if self.filter.view == "heat":
            rows = self._page()
            return {"heat": self._heat(list(map(self._status, rows)))}, _matching(rows)
        if display := self.displays.get(self.filter.view):
            return self._multiples(display)
        rows = self._page()
        servers = list(map(self._status, rows))
        lines = self._sparklines(servers, [shown_metric(server) for server in servers])
        return {"rows": tuple(map(_row, rows, servers, lines)), "shift": self._shift(counts)}, (
            _matching(rows)
        )

    def _page(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table.query(
            "memory_fleet_page", **self.filter.parameters
        ).to_pylist()
        return rows

    def _multiples(self, display: MetricDisplay) -> tuple[dict[str, Any], int]:
        sort = self.filter.sort if self.filter.sort in SORTS else SORTS[0]
        rows = read_multiples(
            self.reader, self.kept, self.table, display, sort, self.filter.parameters, self.now
        )
        servers = list(map(self._status, rows))
        lines = self._sparklines(servers, [display.name] * len(servers))
        texts = [multiple(row, display) for row in rows]
        return {"rows": tuple(map(_row, rows, servers, lines, texts))}, _matching(rows)

    def _heat(self, servers: Sequence[ServerStatus]) -> tuple[HeatRow, ...]:
        display = self.displays.get(self.filter.metric)
        names = tuple(server.server for server in servers)
        if display is None or display.name not in METRIC_NAMES:
            scores = self.kept.read(
                self.reader, "heat_risks", ["metrics_5m"], self.now,
                lambda: read_risk_scores(self.reader, names, self.now), names,
            )  # fmt: skip
            return tuple(risk_heat(server, scores[server.server]) for server in servers)
        series = self._series(servers, [display.name] * len(servers))
        return tuple(
            metric_heat(server, display, series[server.server, display.name]) for server in servers
        )

    def _status(self, row: Mapping[str, Any]) -> ServerStatus:
        server = server_status(row, self.now)
        if server.stale and server.server in self.table.loading:
            server = server.while_loading(self.table.loading[server.server])
        return server.without_forecast() if self.system.model_refused else server

    def _sparklines(
        self, servers: Sequence[ServerStatus], metrics: Sequence[str]
    ) -> list[Sparkline]:
        series = self._series(servers, metrics)
        return [
            sparkline(server, self.displays[metric], series[server.server, metric])
            for server, metric in zip(servers, metrics, strict=True)
        ]

    def _series(
        self, servers: Sequence[ServerStatus], metrics: Sequence[str]
    ) -> Mapping[tuple[str, str], Series]:
        issued = _newest_forecast(servers)
        known: dict[tuple[str, str], Series] = self.kept.read(
            self.reader, "series", ["metrics_5m", "forecasts"], self.now, dict, issued
        )
        names = (server.server for server in servers)
        missing = [pair for pair in zip(names, metrics, strict=True) if pair not in known]
        known.update(read_series(self.reader, missing, self.now, issued))
        return known

    def _shift(self, counts: Sequence[Mapping[str, Any]]) -> Shift | None:
        if self.filter.on:
            return None
        rows = self.table.query(
            "memory_fleet_shift", now=self.now, chance=EXPECTED_FROM, show=MAX_EXPECTED
        )
        return shift(rows.to_pylist(), self.now, known=any(row["seeing"] for row in counts))


def read_fleet(lake: LakeSession, fleet_filter: FleetFilter, now: datetime) -> FleetView:
    """Return the fleet as of `now` from one snapshot, worst first."""
    with lake.snapshot() as reader:
        return _Read(reader, lake, fleet_filter, now).view()


def _row(
    row: Mapping[str, Any], server: ServerStatus, line: Sparkline, text: Multiple | None = None
) -> FleetRow:
    own = indicators(server, row)
    return FleetRow(server, own, line, tuple(row["tags"] or ()), row["change"] or "", text)


def _matching(rows: Sequence[Mapping[str, Any]]) -> int:
    return int(rows[0]["matching"]) if rows else 0


def _sites(table: FleetTable) -> list[str]:
    return sorted(filter(None, table.rows["site"].unique().to_pylist()))


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

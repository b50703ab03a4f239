"""Scrapes from range queries: each at its own time, and each once.

A range query returns values at the steps of a grid, and repeats a value for up to five minutes. So
the times of the scrapes are queried too, as the raw samples of the clock, a series that every
server has: a repeated value falls on a row that exists already, and a server that is gone gets no
rows. (`timestamp()` would return them at the steps, but searches from the beginning at each: 6
seconds for one series over a week, in Prometheus 2.42.) Counters become rates between the true
times, by the rules for pushed samples (functions.ingest.row_assembly): over a restart or a reset
there is no rate, where rate() would return one.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import RangeApi, RangeSeries
from functions.ingest.node_exporter import NAMES, add_series
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.server_label import ServerLabel
from functions.normalize.device_facts import DeviceFacts
from functions.normalize.devices import NEVER_LINKS, NEVER_VOLUMES, STOCK_RULES, DeviceRules
from storage.model.metrics import METRIC_NAMES
from storage.model.names import EXPECTED, server_name
from storage.model.reject_log import RejectLog
from storage.model.schema import TIMESTAMP

__all__ = ["ScrapeWindow", "Scrapes"]

# For all queries of a window; a window that takes longer is tried again with fewer steps.
MAX_QUERIES_S = 12.0
# How long Prometheus repeats a value without a newer one.
LOOKBACK_S = 300
CPU = "node_cpu_seconds_total"
Steps = dict[float, int]  # epoch seconds of a step: epoch microseconds of the scrape it shows first
Row = tuple[str, int]  # server, and epoch microseconds of the scrape
OwnValues = dict[str, dict[Row, float]]  # by the name of the query


def _no_scrapes() -> pa.Table:
    return pa.table({"timestamp": pa.array([], TIMESTAMP), "server": pa.array([], pa.string())})


@dataclass
class ScrapeWindow:
    """The scrapes of a window, one a row in time order, and how many points were read.

    The columns of `scrapes` are `timestamp`, `server`, `labels.NAME` for each label of the clock,
    `cores`, `disk_volume`, `net_links`, the stock metrics, and the source file's own queries by
    their names.
    """

    scrapes: pa.Table = field(default_factory=_no_scrapes)
    points: int = 0
    notes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Clock:
    """The scrapes of one server, and its labels."""

    labels: dict[str, str]
    steps: Steps


class Scrapes:
    """Reads the scrapes of all servers that the connection selects."""

    def __init__(
        self, api: RangeApi, connection: PrometheusConnection, rules: DeviceRules = STOCK_RULES
    ) -> None:
        self._api, self._connection, self._rules = api, connection, rules
        self._devices: dict[str, DeviceFacts] = {}
        more = "," + connection.matchers if connection.matchers else ""
        self._label = ServerLabel(connection.server_label)
        by = str(self._label)
        self.clock = f"{connection.clock}{{{connection.matchers}}}"
        self._cores_query = f'count by ({by}) ({CPU}{{mode="idle"{more}}})'
        self._cpu_query = f"sum by ({by}, mode) ({CPU}{{{connection.matchers}}})"
        self._stock_queries = tuple(_stock_queries(more, rules))

    def read(self, span: range, live: bool, deadline: float) -> ScrapeWindow:
        """Return the scrapes that the steps of `span` (epoch seconds) after its first show first.

        The first step shows the previous readings of the counters. While samples may still arrive
        (`live`), scrapes that changed during the queries are left for the next poll. Raises
        Unreachable, and RangeTooLarge at the latest at `deadline` on the monotonic clock.
        """
        self._deadline = min(time.monotonic() + MAX_QUERIES_S, deadline)
        window = ScrapeWindow()
        clocks = self._clocks(span, window)
        if clocks:
            readings = self._readings(span, clocks, window)
            own = self._own(span, clocks, window)
            settled = self._settled(span, clocks) if live else {}
            rows = _rows(clocks, span[0], settled)
            stock = self._stock_values(readings, rows, window)
            values = _with_own(stock, own, rows)
            window.scrapes = _table(rows, clocks, values)
        window.notes.update(dict.fromkeys(f"Prometheus warns: {w}" for w in self._api.warnings))
        self._api.warnings.clear()
        return window

    def _stock_values(
        self, readings: PartialSamples, rows: Sequence[Row], window: ScrapeWindow
    ) -> dict[str, pa.ChunkedArray]:
        """`cores`, devices and stock metrics [row] by name; all NULL in a row without a metric."""
        if not readings:
            return {}
        rejects = RejectLog()
        assembler = RowAssembler("", METRIC_NAMES, self._rules, self._devices)
        tables = assembler.rows(readings, rejects)
        window.notes.update(dict.fromkeys(rejects.sentences()))
        values = _at_rows(tables["metrics"], rows)
        present = pc.is_valid(values["server"]).to_pylist()
        servers = [server if p else None for (server, _), p in zip(rows, present, strict=True)]
        facts = _cores(tables.get("server_facts")), self._devices
        return _fact_columns(servers, *facts) | {name: values[name] for name in METRIC_NAMES}

    def _query(
        self, query: str, span: range, window: ScrapeWindow
    ) -> Iterator[tuple[str, RangeSeries]]:
        """The series of a query that belong to a server."""
        return self._of_servers(query, self._api.range(query, span, self._deadline), window)

    def _of_servers(
        self, query: str, answer: Iterable[RangeSeries], window: ScrapeWindow
    ) -> Iterator[tuple[str, RangeSeries]]:
        for series in answer:
            window.points += len(series.values)
            label = self._label.name(series.metric)
            server = server_name(label)
            if server:
                yield server, series
            elif label:
                about = f"label {self._label}"
                window.notes[f"{query}: {about}: {label!r} is not a valid name ({EXPECTED})"] = None
            else:
                window.notes[
                    f"{query} has series without the label '{self._label}', "
                    "which are skipped: keep it ('by'), or name another label in server_label"
                ] = None

    def _clocks(self, span: range, window: ScrapeWindow) -> dict[str, _Clock]:
        answer = self._api.samples(self.clock, span[0] - LOOKBACK_S, span[-1], self._deadline)
        by_server: dict[str, list[RangeSeries]] = {}
        for server, series in self._of_servers(self.clock, answer, window):
            by_server.setdefault(server, []).append(series)
        clocks = {}
        for server, several in by_server.items():
            several.sort(key=lambda series: series.values[0][0])
            if _overlap(several):
                window.notes[
                    f"{server} has several series {self.clock} at a time ({_differences(several)}) "
                    "and is skipped: select one by job or match, or name the label that tells the "
                    "machines apart in server_label"
                ] = None
            else:  # one series after the other: a label changed
                clocks[server] = _Clock(several[-1].metric, _first_shown(several, span))
        return clocks

    def _settled(self, span: range, clocks: dict[str, _Clock]) -> dict[str, int]:
        """The time from which scrapes may be incomplete, by server that got samples meanwhile."""
        unsure: dict[str, int] = {}
        for server, again in self._clocks(span, ScrapeWindow()).items():
            known = clocks[server].steps if server in clocks else {}
            moved = [ts for step, ts in known.items() if again.steps.get(step) != ts]
            if moved:
                unsure[server] = min(moved)
        return unsure

    def _readings(
        self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow
    ) -> PartialSamples:
        readings = PartialSamples()
        for query in self._stock_queries:
            for server, series in self._query(query, span, window):
                placed = _placed(series, clocks.get(server))
                add_series(
                    readings, series.metric.get("__name__", ""), series.metric, *placed,
                    self._rules, server,
                )  # fmt: skip
        self._add_cpu(span, clocks, window, readings)
        readings.drop_empty()
        return readings

    def _add_cpu(
        self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow, readings: PartialSamples
    ) -> None:
        """Add the sum over the cores as one core named by their number.

        So there is no rate where the number changes, as the sum is then of other cores.
        """
        counts: dict[str, dict[int, float]] = {}
        for server, series in self._query(self._cores_query, span, window):
            times, numbers = _placed(series, clocks.get(server))
            counts[server] = dict(zip(times, numbers, strict=True))
            column = readings.column(server, ("cores", ""))
            column[0].extend(times)
            column[1].extend(numbers)
        for server, series in self._query(self._cpu_query, span, window):
            known = counts.get(server, {})
            by_count: dict[float, list[tuple[int, float]]] = {}
            for ts, value in zip(*_placed(series, clocks.get(server)), strict=True):
                if ts in known:
                    by_count.setdefault(known[ts], []).append((ts, value))
            for count, same in by_count.items():
                labels = series.metric | {"cpu": f"{count:.0f}"}
                add_series(
                    readings, CPU, labels, [ts for ts, _ in same], [v for _, v in same],
                    self._rules, server,
                )  # fmt: skip

    def _own(self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow) -> OwnValues:
        """The values of the source file's own queries."""
        own: OwnValues = {}
        for name, query in self._connection.queries.items():
            values = own.setdefault(name, {})
            for server, series in self._query(query, span, window):
                for ts, value in zip(*_placed(series, clocks.get(server)), strict=True):
                    if (server, ts) in values:
                        window.notes[
                            f"the query {name!r} has several series for {server}: reduce them to "
                            f"such as by 'max by ({self._label}) (…)'"
                        ] = None
                    elif not math.isnan(value):
                        values[server, ts] = value
        return own


def _stock_queries(more: str, rules: DeviceRules) -> Iterator[str]:
    """The queries of node_exporter's series, without devices whose values are not used."""
    kinds: dict[str, list[str]] = {"filesystem": [], "network": [], "": []}
    for name in NAMES:
        if name != CPU:
            kinds[next(kind for kind in kinds if name.startswith(f"node_{kind}"))].append(name)
    links, volumes = rules.settings.links, rules.settings.volumes  # they may include any
    never = "|".join(sorted(NEVER_VOLUMES)).replace(".", "[.]")
    only = {
        "filesystem": "" if volumes.include else f'fstype!~"{never}"',
        "network": "" if links.include else f'device!~"{"|".join(NEVER_LINKS)}"',
        "": 'state=~"|close_wait"',
    }
    for kind, names in kinds.items():
        matchers = filter(None, (f'__name__=~"{"|".join(names)}"', only[kind], more.strip(",")))
        yield f"{{{','.join(matchers)}}}"


def _overlap(several: Sequence[RangeSeries]) -> bool:
    return any(one.values[-1][0] >= next_.values[0][0] for one, next_ in pairwise(several))


def _differences(several: Sequence[RangeSeries]) -> str:
    """The labels in which series differ, with their values in the order of the series."""
    names = sorted({name for series in several for name in series.metric})
    stated = {name: [series.metric.get(name, "") for series in several] for name in names}
    return ", ".join(
        f"{name} {' and '.join(map(repr, dict.fromkeys(values)))}"
        for name, values in stated.items() if len(set(values)) > 1
    )  # fmt: skip


def _first_shown(several: Sequence[RangeSeries], span: range) -> Steps:
    """The steps that show a scrape first, with its time; of several scrapes at a step the last.

    The first step also shows the last scrape before it.
    """
    steps: Steps = {}
    for at, _ in (sample for series in several for sample in series.values):
        ts_ms = round(at * 1000)
        step = -(-ts_ms // (span.step * 1000)) * span.step
        steps[max(step, span[0])] = ts_ms * 1000
    return steps


def _placed(series: RangeSeries, clock: _Clock | None) -> tuple[list[int], list[float]]:
    """The values of a series at the times of the scrapes they are from."""
    steps = clock.steps if clock else {}
    known = [(steps[at], float(text)) for at, text in series.values if at in steps]
    return [ts for ts, _ in known], [value for _, value in known]


def _rows(clocks: dict[str, _Clock], first_step: int, unsure: dict[str, int]) -> list[Row]:
    """The scrapes to hand over in time order, before it is known which of them have a value."""
    rows: list[Row] = []
    for server, clock in clocks.items():
        before, until = clock.steps.get(first_step), unsure.get(server, math.inf)
        rows += [(server, ts) for ts in clock.steps.values() if ts != before and ts < until]
    rows.sort(key=itemgetter(1))
    return rows


def _at_rows(metrics: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """The rows of `metrics` at the scrapes [row], NULL where there is none."""
    keys = zip(metrics["server"].to_pylist(), metrics["ts"].cast("int64").to_pylist(), strict=True)
    place_of = {row: place for place, row in enumerate(keys)}
    return metrics.take(pa.array([place_of.get(row) for row in rows], pa.int64()))


def _fact_columns(
    servers: Sequence[str | None], cores: Mapping[str, int], devices: Mapping[str, DeviceFacts]
) -> dict[str, pa.ChunkedArray]:
    """Facts of the servers [row]; NULL where there is no server."""
    known = [DeviceFacts() if s is None else devices.get(s, DeviceFacts()) for s in servers]
    columns = {
        "cores": pa.array([cores.get(server or "") for server in servers], pa.int32()),
        "disk_volume": pa.array([each.volume for each in known], pa.string()),
        "net_links": pa.array([each.links for each in known], pa.string()),
    }
    return {name: pa.chunked_array([column]) for name, column in columns.items()}


def _cores(facts: pa.Table | None) -> dict[str, int]:
    if facts is None:
        return {}
    return dict(zip(facts["server"].to_pylist(), facts["cores"].to_pylist(), strict=True))


def _with_own(
    stock: dict[str, pa.ChunkedArray], own: OwnValues, rows: Sequence[Row]
) -> dict[str, pa.ChunkedArray]:
    """`stock` and the own queries [row]; a query with the name of a metric goes before it."""
    values = dict(stock)
    for name, known in own.items():
        column = pa.chunked_array([pa.array(map(known.get, rows), pa.float64())])
        if name in stock:
            column = pc.coalesce(column, stock[name].cast(pa.float64()))
        values[name] = column
    return values


def _table(
    rows: Sequence[Row], clocks: dict[str, _Clock], values: dict[str, pa.ChunkedArray]
) -> pa.Table:
    """The rows that have a value, with the labels of their servers."""
    columns = {
        "timestamp": pa.array([ts for _, ts in rows], TIMESTAMP),
        "server": pa.array([server for server, _ in rows], pa.string()),
        **_label_columns(rows, clocks),
        **values,
    }
    has_value = pa.array(np.zeros(len(rows), bool))
    for column in values.values():
        has_value = pc.or_(has_value, column.is_valid())
    return pa.table(columns).filter(has_value)


def _label_columns(rows: Sequence[Row], clocks: dict[str, _Clock]) -> dict[str, pa.Array]:
    """The labels of the clocks [row], as `labels.NAME`."""
    number_of = {server: number for number, server in enumerate(clocks)}
    numbers = pa.array([number_of[server] for server, _ in rows], pa.int64())
    names = dict.fromkeys(name for clock in clocks.values() for name in clock.labels)
    return {
        f"labels.{name}": pa.array(
            [clock.labels.get(name) for clock in clocks.values()], pa.string()
        ).take(numbers)
        for name in names
    }

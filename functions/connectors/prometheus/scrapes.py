"""Scrapes out of range queries: each at the time at which it was made, and each once.

A range query answers at the steps of a grid, for up to five minutes with a value that is that old.
So the times of the scrapes are asked for beside their values (the samples of the clock, a series
that every server has): a value that is repeated falls on a row that is there already, and none is
invented for a server that is gone. (`timestamp()` would tell them at the steps, but seeks from the
beginning at each: 6 seconds for one series over a week, in Prometheus 2.42.) Counters become
differences between true times, by the rules for what is pushed (functions.ingest.row_assembly):
over a restart or a reset there is none, where rate() would tell one.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import RangeApi, RangeSeries
from functions.ingest.node_exporter import NAMES, add_series, server_of
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.row_assembly import RowAssembler
from functions.normalize.devices import IMAGE_FILESYSTEMS, VIRTUAL_LINKS
from storage.model.metrics import METRIC_NAMES
from storage.model.names import EXPECTED, trimmed

__all__ = ["ScrapeWindow", "Scrapes"]

# All answers of a window together take no longer: else a smaller one is tried.
PATIENCE_S = 12.0
# For so long an answer shows a value that is not followed by another.
LOOKBACK_S = 300
CPU = "node_cpu_seconds_total"
Steps = dict[float, int]  # seconds since 1970 of a step: microseconds of the scrape it shows first
Row = tuple[str, int]


@dataclass
class ScrapeWindow:
    """What was found: documents in the order of time, and how many points were read for them."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    points: int = 0
    notes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Clock:
    """The scrapes of one server, and its labels."""

    labels: dict[str, str]
    steps: Steps


class Scrapes:
    """Reads the scrapes of all servers that the connection selects."""

    def __init__(self, api: RangeApi, connection: PrometheusConnection) -> None:
        self._api, self._connection = api, connection
        more = "," + connection.matchers if connection.matchers else ""
        by = connection.server_label
        self.clock = f"{connection.clock}{{{connection.matchers}}}"
        self._cores_query = f'count by ({by}) ({CPU}{{mode="idle"{more}}})'
        self._cpu_query = f"sum by ({by}, mode) ({CPU}{{{connection.matchers}}})"
        self._stock_queries = tuple(_stock_queries(more))

    def read(self, span: range, live: bool, give_up: float) -> ScrapeWindow:
        """The scrapes that are seen first at a step of `span` (seconds) behind its first.

        What the first step shows is what counters are compared with. While samples may still come
        (`live`), scrapes that changed while they were asked for are left for the next time. Raises
        TooMuch, at the latest at `give_up` on the monotonic clock.
        """
        self._give_up = min(time.monotonic() + PATIENCE_S, give_up)
        window = ScrapeWindow()
        clocks = self._clocks(span, window)
        if clocks:
            readings = self._readings(span, clocks, window)
            own = self._own(span, clocks, window)
            settled = self._settled(span, clocks) if live else {}
            window.documents = sorted(
                _documents(readings, own, clocks, span[0], settled), key=lambda d: d["timestamp"]
            )
        window.notes.update(dict.fromkeys(f"Prometheus warns: {w}" for w in self._api.warnings))
        self._api.warnings.clear()
        return window

    def _ask(
        self, query: str, span: range, window: ScrapeWindow
    ) -> Iterator[tuple[str, RangeSeries]]:
        """The series of an answer that belong to a server."""
        return self._of_servers(query, self._api.range(query, span, self._give_up), window)

    def _of_servers(
        self, query: str, answer: Iterable[RangeSeries], window: ScrapeWindow
    ) -> Iterator[tuple[str, RangeSeries]]:
        for series in answer:
            window.points += len(series.values)
            label = series.metric.get(self._connection.server_label, "")
            server = trimmed(server_of(label))
            if server:
                yield server, series
            elif label:
                about = f"label {self._connection.server_label}"
                window.notes[f"{query}: {about}: {label!r} is not a valid name ({EXPECTED})"] = None
            else:
                window.notes[
                    f"{query} has series without the label {self._connection.server_label!r}, "
                    "which are left out: keep it ('by'), or name another in server_label"
                ] = None

    def _clocks(self, span: range, window: ScrapeWindow) -> dict[str, _Clock]:
        answer = self._api.samples(self.clock, span[0] - LOOKBACK_S, span[-1], self._give_up)
        found: dict[str, list[RangeSeries]] = {}
        for server, series in self._of_servers(self.clock, answer, window):
            found.setdefault(server, []).append(series)
        clocks = {}
        for server, several in found.items():
            several.sort(key=lambda series: series.values[0][0])
            if _overlap(several):
                window.notes[
                    f"{server} has several series {self.clock} at a time and is left out: choose "
                    "one by job or match"
                ] = None
            else:  # one after the other: a label was changed
                clocks[server] = _Clock(several[-1].metric, _first_shown(several, span))
        return clocks

    def _settled(self, span: range, clocks: dict[str, _Clock]) -> dict[str, int]:
        """For servers of which something came meanwhile: from where on it is not sure yet."""
        unsure: dict[str, int] = {}
        for server, again in self._clocks(span, ScrapeWindow()).items():
            known = clocks[server].steps if server in clocks else {}
            moved = [m for at, m in known.items() if again.steps.get(at) != m]
            if moved:
                unsure[server] = min(moved)
        return unsure

    def _readings(
        self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow
    ) -> PartialSamples:
        readings = PartialSamples()
        for query in self._stock_queries:
            for server, series in self._ask(query, span, window):
                placed = _placed(series, clocks.get(server))
                add_series(
                    readings, series.metric.get("__name__", ""), self._labels(series), *placed
                )
        self._add_cpu(span, clocks, window, readings)
        readings.drop_empty()
        return readings

    def _add_cpu(
        self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow, readings: PartialSamples
    ) -> None:
        """The sum over the cores, as that of one core that is called by their number.

        So it has no difference where the number changes, and a sum of other cores is no progress.
        """
        counts: dict[str, dict[int, float]] = {}
        for server, series in self._ask(self._cores_query, span, window):
            moments, numbers = _placed(series, clocks.get(server))
            counts[server] = dict(zip(moments, numbers, strict=True))
            mine = readings.column(server, ("cores", ""))
            mine[0].extend(moments)
            mine[1].extend(numbers)
        for server, series in self._ask(self._cpu_query, span, window):
            known = counts.get(server, {})
            pairs = list(zip(*_placed(series, clocks.get(server)), strict=True))
            for count in set(known.values()):
                labels = self._labels(series) | {"cpu": f"{count:.0f}"}
                same = [(m, v) for m, v in pairs if known.get(m) == count]
                add_series(readings, CPU, labels, [m for m, _ in same], [v for _, v in same])

    def _labels(self, series: RangeSeries) -> dict[str, str]:
        return series.metric | {"instance": series.metric[self._connection.server_label]}

    def _own(
        self, span: range, clocks: dict[str, _Clock], window: ScrapeWindow
    ) -> dict[Row, dict[str, float]]:
        """What the queries of the source file tell, by their names."""
        found: dict[Row, dict[str, float]] = {}
        for name, query in self._connection.queries.items():
            for server, series in self._ask(query, span, window):
                for moment, value in zip(*_placed(series, clocks.get(server)), strict=True):
                    row = found.setdefault((server, moment), {})
                    if name in row:
                        window.notes[
                            f"the query {name!r} has several series for {server}: make it one, "
                            f"such as by 'max by ({self._connection.server_label}) (…)'"
                        ] = None
                    elif not math.isnan(value):
                        row[name] = value
        return found


def _stock_queries(more: str) -> Iterator[str]:
    """What is read as it is; what tells nothing that is kept is not asked for."""
    kinds: dict[str, list[str]] = {"filesystem": [], "network": [], "": []}
    for name in NAMES:
        if name != CPU:
            kinds[next(kind for kind in kinds if name.startswith(f"node_{kind}"))].append(name)
    virtual, images = "|".join(VIRTUAL_LINKS), "|".join(sorted(IMAGE_FILESYSTEMS))
    only = {
        "filesystem": f'fstype!~"{images}"',
        "network": rf'device!~"({virtual}).*|.*[.].*"',
        "": 'state=~"|close_wait"',
    }
    for kind, names in kinds.items():
        yield f'{{__name__=~"{"|".join(names)}",{only[kind]}{more}}}'


def _overlap(several: Sequence[RangeSeries]) -> bool:
    return any(one.values[-1][0] >= next_.values[0][0] for one, next_ in pairwise(several))


def _first_shown(several: Sequence[RangeSeries], span: range) -> Steps:
    """The steps at which a scrape is seen first, and its time; of several at one step the last.

    The first step shows the last scrape before it, too.
    """
    steps: Steps = {}
    for at, _ in (sample for series in several for sample in series.values):
        moment_ms = round(at * 1000)
        step = -(-moment_ms // (span.step * 1000)) * span.step
        steps[max(step, span[0])] = moment_ms * 1000
    return steps


def _placed(series: RangeSeries, clock: _Clock | None) -> tuple[list[int], list[float]]:
    """The values of a series at the times of the scrapes they are from."""
    steps = clock.steps if clock else {}
    known = [(steps[at], float(text)) for at, text in series.values if at in steps]
    return [moment for moment, _ in known], [value for _, value in known]


def _documents(
    readings: PartialSamples,
    own: dict[Row, dict[str, float]],
    clocks: dict[str, _Clock],
    first_step: int,
    unsure: dict[str, int],
) -> Iterator[dict[str, Any]]:
    """A document for each scrape of which something is known."""
    rows = _rows(readings)
    for server, clock in clocks.items():
        before = clock.steps.get(first_step)
        until = unsure.get(server, math.inf)
        for moment in clock.steps.values():
            told = rows.get((server, moment), {}) | own.get((server, moment), {})
            if told and moment != before and moment < until:
                yield {
                    "timestamp": datetime.fromtimestamp(moment / 1e6, UTC), "server": server,
                    "labels": clock.labels, **told,
                }  # fmt: skip


def _rows(readings: PartialSamples) -> dict[Row, dict[str, Any]]:
    """What is known of each scrape, by our own metrics' names."""
    if not readings:
        return {}
    tables = RowAssembler("", METRIC_NAMES).rows(readings)
    facts: Sequence[dict[str, Any]] = (
        tables["server_facts"].to_pylist() if "server_facts" in tables else ()
    )
    cores = {fact["server"]: {"cores": fact["cores"]} for fact in facts}
    metrics = tables["metrics"]
    keys = zip(metrics["server"].to_pylist(), metrics["ts"].cast("int64").to_pylist(), strict=True)
    told = metrics.select(list(METRIC_NAMES)).to_pylist()
    return {
        (server, moment): cores.get(server, {}) | {n: v for n, v in row.items() if v is not None}
        for (server, moment), row in zip(keys, told, strict=True)
    }

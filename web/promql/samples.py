"""Samples of the lake as PromQL's series: what was measured up to now, and forecasts after it.

A metric has a series for each server. Ahead of the present it has one for each quantile of the
newest forecast instead, with the label `quantile`. `NAME:predicted` has the names that Grafana
Cloud gives its forecasts: the label `ml_forecast` is yhat (the median), yhat_lower (10 %) or
yhat_upper (90 %); in the past it is what was forecast last for that time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from storage.model.grid import QUANTILE_COLUMNS, QUANTILES, STEP
from storage.model.metrics import Metric
from storage.query.reader import Reader
from web.lake_session import sql
from web.promql.errors import QueryTooLarge
from web.promql.matching import Selector
from web.promql.vectors import Floats, Labels, labels_of

__all__ = ["MAX_SAMPLES", "PREDICTED", "Grid", "LakeSamples", "Series"]

# A vector has a sample for so long after its time [s]; means of 5 minutes come up to 10 min late.
LOOKBACK, ROLLUP_LOOKBACK = 300.0, 600.0
RAW_FOR = timedelta(hours=12)
MAX_SAMPLES = 2_000_000
PREDICTED = ":predicted"
_PREDICTED = {"yhat": "p50", "yhat_lower": "p10", "yhat_upper": "p90"}
_SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Series:
    """A series: its samples at `ts` [s]; `ahead` says on which side of the present they count."""

    labels: Labels
    ts: Floats
    values: Floats
    lookback: float
    ahead: bool | None  # None: on both


@dataclass(frozen=True, slots=True)
class Grid:
    """The times [s] at which an expression is evaluated, `step` apart; one alone has step 0."""

    times: Floats
    step: float = 0.0


@dataclass(slots=True)
class LakeSamples:
    """Reads series for one query from one snapshot; `notes` say which forecasts were read."""

    reader: Reader
    metrics: Sequence[Metric]
    now: datetime
    raw_kept: timedelta
    notes: list[str] = field(default_factory=list)
    read: int = 0
    _servers: dict[str, dict[str, str]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names of all metrics, those of forecasts with them."""
        return [name for m in self.metrics for name in (m.name, m.name + PREDICTED)]

    def servers(self) -> dict[str, dict[str, str]]:
        """Return the labels of each server."""
        if not self._servers:
            for row in self.reader.query(sql("prometheus_servers"), now=self.now).to_pylist():
                self._servers[row["server"]] = {k: v for k, v in row.items() if v}
        return self._servers

    def chosen(self, selector: Selector) -> list[str]:
        """Return the servers that a selector accepts."""
        names = list(self.servers())
        kept = set(selector.accepted("server", names))
        for label in ("profile", "site"):
            texts = {name: self._servers[name].get(label, "") for name in names}
            accepted = set(selector.accepted(label, set(texts.values())))
            kept &= {name for name, text in texts.items() if text in accepted}
        known = {"__name__", "server", "profile", "site", "quantile", "ml_forecast"}
        others = [m for m in selector.matchers if m.name not in known]
        return [name for name in names if name in kept and all(m.chosen([""])[0] for m in others)]

    def label_sets(self, selector: Selector) -> Iterator[Labels]:
        """Yield the labels of the series that a selector accepts, whether they have samples or not.

        Those of the future are left out: they differ by the time that is asked for.
        """
        servers = self.chosen(selector)
        for name in selector.accepted("__name__", self.names()):
            kinds = tuple(_PREDICTED) if name.endswith(PREDICTED) else ("",)
            for kind in selector.accepted("ml_forecast", kinds):
                if not selector.accepts("quantile", ""):
                    continue
                for server in servers:
                    yield labels_of(
                        {**self._servers[server], "__name__": name, "ml_forecast": kind}
                    )

    def series(self, selector: Selector, first: float, last: float, step: float) -> list[Series]:
        """Return the series of a selector with their samples from `first` to `last` [s].

        Raises QueryTooLarge.
        """
        servers = self.chosen(selector)
        if not servers:
            return []
        result: list[Series] = []
        for name in selector.accepted("__name__", self.names()):
            metric = name.removesuffix(PREDICTED)
            if name != metric:
                result += self._predicted(metric, selector, servers, first, last)
                continue
            if selector.accepts("quantile", "") and selector.accepts("ml_forecast", ""):
                result += self._measured(metric, servers, first, last, step)
            if last > self.now.timestamp() and selector.accepts("ml_forecast", ""):
                result += self._ahead(metric, selector, servers)
        return result

    def _measured(
        self, metric: str, servers: Sequence[str], first: float, last: float, step: float
    ) -> Iterator[Series]:
        start, stop = _time(first), min(_time(last), self.now)
        if start > stop:
            return
        table, column, late, lookback = "metrics", metric, "INTERVAL 0 MINUTE", LOOKBACK
        if not self._is_raw(len(servers), start, stop, step):
            # A mean of 5 minutes is known at the end of its step.
            table, column, late = "metrics_5m", f"{metric}_mean", "INTERVAL 5 MINUTE"
            lookback = ROLLUP_LOOKBACK
        rows = self._rows(
            f'SELECT server, epoch(ts + {late}) AS at, CAST("{column}" AS DOUBLE) AS value '
            f'FROM {table} WHERE ts > $start - {late} AND ts <= $stop - {late} '
            f'AND "{column}" IS NOT NULL '
            "AND (len($servers) = 0 OR list_contains($servers, server)) ORDER BY server, ts",
            servers, start=start - timedelta(seconds=lookback), stop=stop,
        )  # fmt: skip
        for server, part in _by_server(rows):
            labels = labels_of(
                {**self._servers.get(server, {"server": server}), "__name__": metric}
            )
            yield Series(labels, _floats(part, "at"), _floats(part, "value"), lookback, False)

    def _is_raw(self, servers: int, start: datetime, stop: datetime, step: float) -> bool:
        """Return True if samples as they came are to be read, rather than means of 5 minutes."""
        expected = servers * (stop - start).total_seconds() / _SAMPLE_SECONDS
        return (
            step < STEP.total_seconds() and stop - start <= RAW_FOR
            and start > self.now - self.raw_kept and expected <= MAX_SAMPLES / 2
        )  # fmt: skip

    def _ahead(self, metric: str, selector: Selector, servers: Sequence[str]) -> Iterator[Series]:
        texts = {f"{q:g}": name for q, name in zip(QUANTILES, QUANTILE_COLUMNS, strict=True)}
        accepted = selector.accepted("quantile", texts)
        if not accepted:
            return
        rows = self._rows(sql("prometheus_ahead"), servers, metric=metric, now=self.now)
        self._note(metric, rows)
        columns = {("quantile", text): texts[text] for text in accepted}
        yield from self._forecasts(rows, metric, columns, True)

    def _predicted(
        self, metric: str, selector: Selector, servers: Sequence[str], first: float, last: float
    ) -> Iterator[Series]:
        accepted = selector.accepted("ml_forecast", _PREDICTED)
        if not accepted or not selector.accepts("quantile", ""):
            return
        columns = {("ml_forecast", kind): _PREDICTED[kind] for kind in accepted}
        parts = []
        if first <= self.now.timestamp():
            start, stop = _time(first - LOOKBACK), min(_time(last), self.now)
            parts.append(self._rows(
                sql("prometheus_behind"), servers, metric=metric, start=start, stop=stop
            ))  # fmt: skip
        if last > self.now.timestamp():
            parts.append(self._rows(sql("prometheus_ahead"), servers, metric=metric, now=self.now))
        rows = pa.concat_tables(parts).sort_by([("server", "ascending"), ("ts", "ascending")])
        self._note(metric, rows)
        yield from self._forecasts(rows, metric + PREDICTED, columns, None)

    def _forecasts(
        self, rows: pa.Table, name: str, columns: dict[tuple[str, str], str], ahead: bool | None
    ) -> Iterator[Series]:
        for server, part in _by_server(rows):
            ts = part.column("ts").cast(pa.int64()).to_numpy() / 1e6
            for (label, text), column in columns.items():
                labels = {**self._servers.get(server, {"server": server}), "__name__": name}
                values = _floats(part, column)
                yield Series(labels_of({**labels, label: text}), ts, values, LOOKBACK, ahead)

    def _note(self, metric: str, rows: pa.Table) -> None:
        """Say of which issues and models the forecasts are."""
        issues = sorted(set(rows.column("issued_at").to_pylist()))
        models = sorted(set(rows.column("model").to_pylist()) - {None})
        if not issues:
            self.notes.append(f"{metric}: there is no forecast of this time")
            return
        newest = issues[-1].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        oldest = issues[0].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        span = newest if oldest == newest else f"{oldest} to {newest}"
        self.notes.append(f"{metric}: forecast issued {span} by model {', '.join(models)}")

    def _rows(self, statement: str, servers: Sequence[str], **parameters: Any) -> pa.Table:
        whole = len(servers) == len(self._servers)
        rows = self.reader.query(
            f"SELECT * FROM ({statement}) LIMIT {MAX_SAMPLES + 1 - self.read}",
            servers=[] if whole else list(servers), **parameters,
        )  # fmt: skip
        self.read += rows.num_rows
        if self.read > MAX_SAMPLES:
            raise QueryTooLarge(
                f"query processing would read more than {MAX_SAMPLES:,} samples",
                "name fewer servers, or a shorter time",
            )
        return rows


def _by_server(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each server; they come in the order of servers."""
    if not rows.num_rows:
        return
    encoded = rows.column("server").combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    names = encoded.dictionary.to_pylist()
    for start, stop in pairwise(starts):
        yield names[codes[start]], rows.slice(start, stop - start)


def _floats(rows: pa.Table, column: str) -> Floats:
    return np.asarray(rows.column(column).to_numpy(), np.float64)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""Schema of the lake: every table, from which DDL, validation and `hoursight schema` derive."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import pyarrow as pa

from storage.errors import HoursightError
from storage.model.grid import LEAD_MINUTES, QUANTILE_COLUMNS, QUANTILES
from storage.model.metrics import FORECAST_PRECISION, METRICS, Metric
from storage.model.table_definition import (
    TIMESTAMP,
    WITH_OWN_METRICS,
    Column,
    Table,
    retention_text,
    sql_type,
)
from storage.model.time_limits import STOCK_LIMITS, TimeLimits

__all__ = [
    "OUTCOMES", "STOCK", "TABLES", "TIMESTAMP", "Column", "Schema", "Table", "UnknownTable",
    "customized", "retention_text", "rollup_complete", "rollup_merged", "sql_type", "table",
]  # fmt: skip

ALWAYS = None
# Outcomes of a function run; "resumed" is written by a command, "revived" was its former name.
OUTCOMES = (
    "ok", "nothing", "failed", "crashed", "timed out", "out of memory", "unreachable",
    "not written", "resumed", "revived",
)  # fmt: skip
TWO_DAYS, WEEK, MONTH, THIRTEEN_MONTHS = (timedelta(days=n) for n in (2, 7, 30, 400))


class UnknownTable(HoursightError, LookupError):
    """The lake has no table of that name."""


def _text(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, pa.string(), meaning, required)


def _name(name: str, meaning: str, required: bool = False) -> Column:
    return Column(name, pa.string(), meaning, required, is_name=True)


def _prose(name: str, meaning: str, kind: pa.DataType = pa.string()) -> Column:  # noqa: B008 - a value
    return Column(name, kind, meaning, prose=True)


def _time(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, TIMESTAMP, meaning, required)


def _float(name: str, meaning: str) -> Column:
    return Column(name, pa.float32(), meaning)


def _int(name: str, meaning: str) -> Column:
    return Column(name, pa.int64(), meaning)


def _samples(metrics: Sequence[Metric]) -> Iterator[Column]:
    for m in metrics:
        fineness = "" if m.precision is None else f", {m.precision}"
        yield _float(m.name, f"{m.meaning} [{m.unit}{fineness}]")


def _steps(metrics: Sequence[Metric]) -> Iterator[Column]:
    for m in metrics:
        yield _float(f"{m.name}_mean", f"mean of {m.name} [{m.unit}]")
        yield _float(f"{m.name}_max", f"largest {m.name} [{m.unit}]")
        yield Column(f"{m.name}_count", pa.int16(), f"samples of {m.name}")


_SERVER = _name("server", "host name", required=True)

REASON = pa.struct([
    pa.field("metric", pa.string()), pa.field("points", pa.float32()), pa.field("text", pa.string())
])  # fmt: skip

GONE = pa.struct([pa.field("table", pa.string()), pa.field("rows", pa.int64())])

TABLES: tuple[Table, ...] = (
    Table(
        "metrics", "raw samples, about one every 5 s and server", WEEK,
        (
            _SERVER,
            _time("ts", "when it was measured"),
            *_samples(METRICS),
            Column(
                "source", pa.string(), "the function that read or received its first value",
                is_name=True, origin=True,
            ),
        ),
        key=("server", "ts"), by_cell=True,
    ),
    Table(
        "metrics_5m", "roll-ups: mean, max and count of each metric in 5-minute steps",
        THIRTEEN_MONTHS,
        (
            _SERVER,
            _time("ts", "start of the step"),
            *_steps(METRICS),
        ),
        key=("server", "ts"), on_conflict="last",
    ),
    Table(
        "server_facts", "facts about servers, dated; the view servers shows the newest",
        ALWAYS,
        (
            _SERVER,
            _time("ts", "since when"),
            _name("profile", "kind of server"),
            _name("site", "location"),
            Column("cores", pa.int32(), "logical CPUs"),
            _text("disk_volume", "the volume whose fullness is disk_usage_pct"),
            _text("net_links", "the network links whose traffic is counted"),
        ),
        key=("server", "ts"), on_conflict="last", by_cell=True, by_day=False,
    ),
    Table(
        "forecasts", "every forecast as it was issued, one row a server and metric", TWO_DAYS,
        (
            _SERVER,
            _text("metric", "what is forecast", required=True),
            _time("issued_at", "start of the first step that is forecast"),
            _time("made_at", "when the function ran"),
            _text("model", "fingerprint of the model file"),
            _text("state", "ok, early (from less than 24 h) or abstained", required=True),
            _prose("why", "why it is not ok, in words"),
            Column("context_steps", pa.int16(), "5-minute steps of the 288 that had a value"),
            *(
                Column(
                    name, pa.list_(pa.float32()),
                    f"quantile {q:g}: 96 values, 5 minutes apart, {FORECAST_PRECISION}",
                )
                for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
            ),
        ),
        key=("server", "metric", "issued_at"), time="issued_at",
        provisional=("state", "abstained"),  # the context may have been late
    ),
    Table(
        "risks", "risk of each server, now and within the forecast", THIRTEEN_MONTHS,
        (
            _SERVER,
            _time("issued_at", "as of when"),
            _float("now_score", "0 to 100: the present"),
            _float("ahead_score", "0 to 100: the forecast; NULL without one"),
            _float("score", "the higher of the two"),
            _text("severity", "severity level"),
            Column("respond_within_minutes", pa.int32(), "time to act; NULL: nobody has to"),
            *(
                _float(f"p_breach_{lead}m", f"P(critical level is passed within {lead} minutes)")
                for lead in LEAD_MINUTES
            ),
            _text("breach_metric", "the metric likeliest to pass its critical level"),
            _time("breach_earliest", "10 % are sooner", required=False),
            _time("breach_likely", "half are sooner", required=False),
            _time("breach_latest", "90 % are sooner", required=False),
            _prose("reasons", "the three strongest reasons, strongest first", pa.list_(REASON)),
        ),
        key=("server", "issued_at"), time="issued_at",
    ),
    Table(
        "runs", "run log: one row a run of a function", MONTH,
        (
            _text("run_id", "one run", required=True),
            _text("function", "which function", required=True),
            _text("code_hash", "fingerprint of its source"),
            _text("trigger", "what started it"),
            _text("window_key", "the window it was given"),
            _time("ts", "start"),
            _int("input_snapshot", "the lake's snapshot that it read"),
            _int("rows_in", "rows it was given"),
            _int("rows_out", "rows it returned"),
            _float("duration_ms", "wall-clock time [ms]"),
            _float("cpu_s", "CPU time [s]"),
            _float("peak_rss_mb", "largest resident size of its process so far [MB]"),
            _text("outcome", f"how it ended: {', '.join(OUTCOMES)}", required=True),
            _prose("error", "what went wrong, in words"),
        ),
        key=("run_id",),
    ),
    Table(
        "segments", "commit log: what was committed or rejected, and from whom", MONTH,
        (
            _text("batch_id", "one batch, committed once", required=True),
            _text("table_name", "where its rows went"),
            _text("function", "who wrote it"),
            _text("run_id", "the run that wrote it, as in `runs`"),
            _text("code_hash", "fingerprint of the function's source"),
            _text("window_key", "the window it was made from"),
            _text("cursor", "where its source continues"),
            _int("input_snapshot", "the lake's snapshot that was read"),
            _text("model", "fingerprint of the model used"),
            _time("created_at", "when it was written", required=False),
            _time("ts", "when it was committed or rejected; no two commits are the same"),
            _time("first_ts", "its earliest row", required=False),
            _time("last_ts", "its latest row", required=False),
            _int("rows_in", "rows in the file"),
            _int("rows_committed", "rows that were new or brought a value that was missing"),
            _int("rows_refused", "rows or values refused"),
            _int("values_clamped", "values just outside their range, stored as its bound"),
            _int(
                "values_repeated",
                "values (in tables of whole rows: rows) that the lake had already",
            ),
            _prose("refusals", "up to 20 reasons, in words", pa.list_(pa.string())),
            _text("outcome", "committed or rejected", required=True),
        ),
        key=("batch_id",),
    ),
    Table(
        "processes", "starts and ends of the system's own processes", ALWAYS,
        (
            _text("process", "name in the Procfile", required=True),
            _time("ts", "when"),
            _text("event", "started or ended", required=True),
            _int("pid", "process id"),
            _prose("detail", "how it ended, in words"),
        ),
        by_day=False,
    ),
    Table(
        "sources", "source files that were activated, refused or removed", ALWAYS,
        (
            _name("source", "its name: that of the file", required=True),
            _time("ts", "when"),
            _text("kind", "mongodb, elasticsearch, prometheus or files"),
            _text("event", "live, refused or off", required=True),
            _prose("detail", "why it was refused, in words"),
        ),
        by_day=False,
    ),
    Table(
        "models", "what happened to model files: trained, promoted, serving, refused", ALWAYS,
        (
            _text("model", "fingerprint of the file"),
            _time("ts", "when"),
            _text(
                "event", "serving, refused, candidate, promoted or rolled back", required=True
            ),
            _text("path", "the file"),
            _prose("detail", "why, in words"),
            _text("card", "the model's card (JSON)"),
        ),
        by_day=False,
    ),
    Table(
        "deletions", "servers that were deleted with all their rows, by a person", ALWAYS,
        (
            _name("server", "its name in the request, its fingerprint once deleted", required=True),
            _time("ts", "when that was requested"),
            _prose("why", "reason as given in the request"),
            Column("went", pa.list_(GONE), "deleted rows by table"),
        ),
        by_day=False,
    ),
    Table(
        "scenarios", "which scenario the simulator plays since when", ALWAYS,
        (
            _time("ts", "since when"),
            _text("scenario", "healthy, mixed, degrading, critical or cascade", required=True),
        ),
        key=("ts",),
        by_day=False,
    ),
    Table(
        "truth", "what the simulator injected; no rule and no model may read it", ALWAYS,
        (
            _text("incident_id", "one incident", required=True),
            _SERVER,
            _text("kind", "what goes wrong"),
            _text("scenario", "under which scenario"),
            _time("starts_at", "first effect"),
            _time("peaks_at", "full effect"),
            _time("ends_at", "over"),
            Column("metrics", pa.list_(pa.string()), "the metrics it moves"),
            _text("caused_by", "the incident that caused it"),
        ),
        key=("incident_id",), time="starts_at",
        by_day=False,
    ),
)  # fmt: skip


def rollup_complete(metrics: Iterable[str]) -> str:
    """SQL condition: the stored roll-up has as many samples of each metric as `steps` counts."""
    return " AND ".join(f"coalesce(stored.{m}_count, 0) >= steps.{m}_count" for m in metrics)


def rollup_merged(metrics: Iterable[str]) -> str:
    """SQL columns: of each metric the roll-up of more samples, from `steps` or `stored`."""
    return ", ".join(
        f"CASE WHEN steps.{m}_count >= coalesce(stored.{m}_count, 0) "
        f"THEN steps.{m}_{part} ELSE stored.{m}_{part} END AS {m}_{part}"
        for m in metrics
        for part in ("mean", "max", "count")
    )


@dataclass(frozen=True)
class Schema:
    """The tables of one data folder, and which times of samples can be true, by its settings."""

    metrics: tuple[Metric, ...] = METRICS
    tables: tuple[Table, ...] = TABLES
    times: TimeLimits = STOCK_LIMITS

    def table(self, name: str) -> Table:
        """The table called `name`. Raises UnknownTable."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(sorted(self._by_name))
            raise UnknownTable(f"no table {name!r} (expected one of {known})") from None

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        return {t.name: t for t in self.tables}


STOCK = Schema()


def customized(
    own: Sequence[Metric],
    retention: Mapping[str, timedelta | None],
    times: TimeLimits = STOCK_LIMITS,
    limits: Mapping[str, float] | None = None,
) -> Schema:
    """The stock schema with a data folder's own metrics, retention and limits.

    `limits` has the largest values of stock metrics that can be true, where they are others.
    """
    more = dict(zip(WITH_OWN_METRICS, (tuple(_samples(own)), tuple(_steps(own))), strict=True))
    tables = (
        replace(
            t,
            columns=t.columns + more.get(t.name, ()),
            retention=retention.get(t.name, t.retention),
        )
        for t in TABLES
    )
    stock = (replace(m, limit=(limits or {}).get(m.name, m.limit)) for m in METRICS)
    return Schema((*stock, *own), tuple(tables), times)


def table(name: str) -> Table:
    """The stock table called `name`. Raises UnknownTable."""
    return STOCK.table(name)

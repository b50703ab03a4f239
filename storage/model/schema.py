"""Schema of the lake: every table, from which DDL, validation and `hoursight schema` derive."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import pyarrow as pa

from storage.errors import HoursightError
from storage.model.columns import SERVER, name, numbers, prose, real, text, time, whole
from storage.model.grid import LEAD_MINUTES, QUANTILE_COLUMNS, QUANTILES
from storage.model.loop_tables import LOOP_TABLES
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


def _samples(metrics: Sequence[Metric]) -> Iterator[Column]:
    for m in metrics:
        fineness = "" if m.precision is None else f", {m.precision}"
        yield real(m.name, f"{m.meaning} [{m.unit}{fineness}]")


def _steps(metrics: Sequence[Metric]) -> Iterator[Column]:
    for m in metrics:
        yield real(f"{m.name}_mean", f"mean of {m.name} [{m.unit}]")
        yield real(f"{m.name}_max", f"largest {m.name} [{m.unit}]")
        yield Column(f"{m.name}_count", pa.int16(), f"samples of {m.name}")


REASON = pa.struct([
    pa.field("metric", pa.string()), pa.field("points", pa.float32()), pa.field("text", pa.string())
])  # fmt: skip

GONE = pa.struct([pa.field("table", pa.string()), pa.field("rows", pa.int64())])

TABLES: tuple[Table, ...] = (
    Table(
        "metrics", "raw samples, about one every 5 s and server", WEEK,
        (
            SERVER,
            time("ts", "when it was measured"),
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
            SERVER,
            time("ts", "start of the step"),
            *_steps(METRICS),
        ),
        key=("server", "ts"), on_conflict="last",
    ),
    Table(
        "server_facts", "facts about servers, dated; the view servers shows the newest",
        ALWAYS,
        (
            SERVER,
            time("ts", "since when"),
            name("profile", "kind of server"),
            name("site", "location"),
            Column("cores", pa.int32(), "logical CPUs"),
            text("disk_volume", "the volume whose fullness is disk_usage_pct"),
            text("net_links", "the network links whose traffic is counted"),
        ),
        key=("server", "ts"), on_conflict="last", by_cell=True, by_day=False,
    ),
    Table(
        "forecasts", "every forecast as it was issued, one row a server and metric", TWO_DAYS,
        (
            SERVER,
            text("metric", "what is forecast", required=True),
            time("issued_at", "start of the first step that is forecast"),
            time("made_at", "when the function ran"),
            text("model", "fingerprint of the model file"),
            text("state", "ok, early (from less than 24 h) or abstained", required=True),
            prose("why", "why it is not ok, in words"),
            Column("context_steps", pa.int16(), "5-minute steps of the 288 that had a value"),
            numbers(
                "widths",
                "factors on the distances from the median, by lead bucket (0-1, 1-4, 4-8 h) and "
                "band (50, 80, 96 %): 9 values; NULL: 1",
            ),
            numbers(
                "weights",
                "shares of the model, context quantiles, seasonal naive and last value in what is "
                "served, by lead bucket: 12 values; NULL: the model alone",
            ),
            text("leading", "the one of the four with the largest share"),
            numbers("context", "quantiles of the 24 h before: 7 values"),
            numbers("seasonal", "values 24 h before: 96 values; NULL: no share"),
            numbers("seasonal_band", "what its band adds to them, by lead bucket: 21 values"),
            numbers("last_band", "the last value's band, by lead bucket: 21 values"),
            *(
                Column(
                    name, pa.list_(pa.float32()),
                    f"the model's quantile {q:g}: 96 values, 5 minutes apart, {FORECAST_PRECISION}",
                )
                for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
            ),
        ),
        key=("server", "metric", "issued_at"), time="issued_at",
        provisional=("state", "abstained"),  # the context may have been late
        # Forecasts are read by their issue; a row has more than 800 numbers.
        sorted_by=("issued_at", "server", "metric"), rows_per_group=2048,
    ),
    Table(
        "risks", "risk of each server, now and within the forecast", THIRTEEN_MONTHS,
        (
            SERVER,
            time("issued_at", "as of when"),
            real("now_score", "0 to 100: the present"),
            real("ahead_score", "0 to 100: the forecast; NULL without one"),
            real("score", "the higher of the two"),
            text("severity", "severity level"),
            Column("respond_within_minutes", pa.int32(), "time to act; NULL: nobody has to"),
            *(
                real(f"p_breach_{lead}m", f"P(critical level is passed within {lead} minutes)")
                for lead in LEAD_MINUTES
            ),
            text("breach_metric", "the metric likeliest to pass its critical level"),
            time("breach_earliest", "10 % are sooner", required=False),
            time("breach_likely", "half are sooner", required=False),
            time("breach_latest", "90 % are sooner", required=False),
            prose("reasons", "the three strongest reasons, strongest first", pa.list_(REASON)),
        ),
        key=("server", "issued_at"), time="issued_at",
    ),
    Table(
        "runs", "run log: one row a run of a function", MONTH,
        (
            text("run_id", "one run", required=True),
            text("function", "which function", required=True),
            text("code_hash", "fingerprint of its source"),
            text("trigger", "what started it"),
            text("window_key", "the window it was given"),
            time("ts", "start"),
            whole("input_snapshot", "the lake's snapshot that it read"),
            whole("rows_in", "rows it was given"),
            whole("rows_out", "rows it returned"),
            real("duration_ms", "wall-clock time [ms]"),
            real("cpu_s", "CPU time [s]"),
            real("peak_rss_mb", "largest resident size of its process so far [MB]"),
            text("outcome", f"how it ended: {', '.join(OUTCOMES)}", required=True),
            prose("error", "what went wrong, in words"),
        ),
        key=("run_id",),
    ),
    Table(
        "segments", "commit log: what was committed or rejected, and from whom", MONTH,
        (
            text("batch_id", "one batch, committed once", required=True),
            text("table_name", "where its rows went"),
            text("function", "who wrote it"),
            text("run_id", "the run that wrote it, as in `runs`"),
            text("code_hash", "fingerprint of the function's source"),
            text("window_key", "the window it was made from"),
            text("cursor", "where its source continues"),
            whole("input_snapshot", "the lake's snapshot that was read"),
            text("model", "fingerprint of the model used"),
            time("created_at", "when it was written", required=False),
            time("ts", "when it was committed or rejected; no two commits are the same"),
            time("first_ts", "its earliest row", required=False),
            time("last_ts", "its latest row", required=False),
            whole("rows_in", "rows in the file"),
            whole("rows_committed", "rows that were new or brought a value that was missing"),
            whole("rows_refused", "rows or values refused"),
            whole("values_clamped", "values just outside their range, stored as its bound"),
            whole(
                "values_repeated",
                "values (in tables of whole rows: rows) that the lake had already",
            ),
            prose("refusals", "up to 20 reasons, in words", pa.list_(pa.string())),
            text("outcome", "committed or rejected", required=True),
        ),
        key=("batch_id",),
    ),
    Table(
        "processes", "starts and ends of the system's own processes", ALWAYS,
        (
            text("process", "name in the Procfile", required=True),
            time("ts", "when"),
            text("event", "started or ended", required=True),
            whole("pid", "process id"),
            prose("detail", "how it ended, in words"),
        ),
        by_day=False,
    ),
    Table(
        "sources", "source files that were activated, refused or removed", ALWAYS,
        (
            name("source", "its name: that of the file", required=True),
            time("ts", "when"),
            text("kind", "mongodb, elasticsearch, prometheus or files"),
            text("event", "live, refused or off", required=True),
            prose("detail", "why it was refused, in words"),
        ),
        by_day=False,
    ),
    Table(
        "models", "what happened to model files: trained, promoted, serving, refused", ALWAYS,
        (
            text("model", "fingerprint of the file"),
            time("ts", "when"),
            text(
                "event", "serving, refused, candidate, promoted or rolled back", required=True
            ),
            text("path", "the file"),
            prose("detail", "why, in words"),
            text("card", "the model's card (JSON)"),
        ),
        by_day=False,
    ),
    Table(
        "deletions", "servers that were deleted with all their rows, by a person", ALWAYS,
        (
            name("server", "its name in the request, its fingerprint once deleted", required=True),
            time("ts", "when that was requested"),
            prose("why", "reason as given in the request"),
            Column("went", pa.list_(GONE), "deleted rows by table"),
        ),
        by_day=False,
    ),
    Table(
        "scenarios", "which scenario the simulator plays since when", ALWAYS,
        (
            time("ts", "since when"),
            text("scenario", "healthy, mixed, degrading, critical or cascade", required=True),
        ),
        key=("ts",),
        by_day=False,
    ),
    Table(
        "truth", "what the simulator injected; no rule and no model may read it", ALWAYS,
        (
            text("incident_id", "one incident", required=True),
            SERVER,
            text("kind", "what goes wrong"),
            text("scenario", "under which scenario"),
            time("starts_at", "first effect"),
            time("peaks_at", "full effect"),
            time("ends_at", "over"),
            Column("metrics", pa.list_(pa.string()), "the metrics it moves"),
            text("caused_by", "the incident that caused it"),
        ),
        key=("incident_id",), time="starts_at",
        by_day=False,
    ),
    *LOOP_TABLES,
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

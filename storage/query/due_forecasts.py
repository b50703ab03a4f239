"""Due forecasts: those whose targets lie in an hour that has passed, and what judges them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.settings import schema_of
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.served import Recipe
from storage.query.reader import Reader

__all__ = [
    "HOUR", "ActedSpan", "DueIssue", "Touched", "acts", "due_issues", "newest_step",
    "oldest_hour", "samples", "scales", "servers_to_score", "touched_hours",
]  # fmt: skip

HOUR = timedelta(hours=1)
HORIZON = HORIZON_STEPS * STEP
SCALE_SPAN = timedelta(days=30)
PERCENT = 100.0
LONGEST = timedelta(days=30)  # the commit log is kept as long

# The recipe's lists that have a value a step are cut to the steps that are due.
_SLICED = (*QUANTILE_COLUMNS, "seasonal")
_WHOLE = tuple(name for name in Recipe.sizes() if name not in _SLICED)
_UNBOUNDED = tuple(m.name for m in METRICS if m.highest != PERCENT)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Touched:
    """The newest commit of roll-ups, and the complete hours to score because of commits."""

    cursor: datetime | None
    hours: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class ActedSpan:
    """What somebody did from `start` to `stop`: on which servers, by name or glob; None is all."""

    server: str | None
    pattern: str | None
    metric: str | None
    start: datetime
    stop: datetime


@dataclass(frozen=True, slots=True)
class DueIssue:
    """Forecasts of k series from one issue and one model, of the t steps that lie in the hour.

    `raw` [k, t, 7] are the model's own quantiles, NaN where it abstained; `lead` is the place of
    the first of these steps in the forecast. The recipe has t values of the day before.
    """

    issued_at: datetime
    model: str | None
    lead: int
    servers: Sequence[str]  # [k]
    metrics: Ints  # [k] places in METRIC_NAMES
    is_served: npt.NDArray[np.bool_]  # [k]
    raw: Floats
    recipe: Recipe


def oldest_hour(reader: Reader, now: datetime) -> datetime:
    """The start of the oldest hour of which all forecasts are kept: 8 h of them reach into it."""
    kept = schema_of(reader.folders).table("forecasts").retention
    oldest = now - (kept - HORIZON if kept else LONGEST)
    return oldest.replace(minute=0, second=0, microsecond=0) + HOUR


def touched_hours(
    reader: Reader, cursor: datetime, since: datetime, until: datetime, oldest: datetime
) -> Touched:
    """The complete hours from `oldest` on to `until` that commits after `cursor` changed.

    Those from `since` on are among them in any case.
    """
    row = reader.named(
        "windows/touched_hours", cursor=cursor, since=since, until=until, oldest=oldest
    ).to_pylist()[0]
    return Touched(row["cursor"], tuple(row["hours"] or ()))


def newest_step(reader: Reader, until: datetime) -> datetime | None:
    """The newest step before `until` that was rolled up; None if there is none of late."""
    newest: datetime | None = reader.named("windows/newest_step", until=until)["ts"][0].as_py()
    return newest


def servers_to_score(reader: Reader, hour: datetime, after: str, limit: int) -> list[str]:
    """Up to `limit` names of servers after `after`, in order, to score in the hour from `hour` on.

    These have samples in that hour other than those with which it was scored.
    """
    counts = " + ".join(f"coalesce({name}_count, 0)" for name in METRIC_NAMES)
    names: list[str] = reader.named(
        "windows/servers_to_score", {"samples": counts}, start=hour, stop=hour + HOUR, after=after,
        limit=limit,
    )["server"].to_pylist()  # fmt: skip
    return names


def due_issues(reader: Reader, servers: Sequence[str], hour: datetime) -> Iterator[DueIssue]:
    """Yield the forecasts of `servers` (sorted) for the hour from `hour` on, issue by issue.

    Of each quarter of an hour one issue is taken. Forecasts by users' functions of other metrics or
    of another length are left out.
    """
    among = {"from": servers[0], "to": servers[-1]}
    issues = reader.named(
        "windows/due_issues", first=hour - HORIZON, stop=hour + HOUR, **among
    )["issued_at"].to_pylist()  # fmt: skip
    if not issues:
        return
    pieces = {
        "whole": ", ".join(_WHOLE),
        "sliced": ", ".join(f"{n}[first_step:last_step] AS {n}" for n in _SLICED),
        "issues": ", ".join(f"TIMESTAMPTZ '{each.isoformat()}'" for each in issues),
        "horizon": str(HORIZON_STEPS),
    }
    rows = reader.named("windows/due_forecasts", pieces, start=hour, stop=hour + HOUR, **among)
    rows = rows.filter(pc.is_in(rows["server"], pa.array(servers, pa.string())))
    rows = rows.filter(pc.is_in(rows["metric"], pa.array(METRIC_NAMES)))
    for issued_at in issues:
        of_issue = rows.filter(pc.equal(rows["issued_at"], pa.scalar(issued_at)))
        for model in pc.unique(of_issue["model"]).to_pylist():
            same = pc.equal(of_issue["model"], model) if model else pc.is_null(of_issue["model"])
            yield _issue(of_issue.filter(same), issued_at, model, hour)


def _issue(rows: pa.Table, issued_at: datetime, model: str | None, hour: datetime) -> DueIssue:
    lead = max((hour - issued_at) // STEP, 0)
    steps = min((hour + HOUR - issued_at) // STEP, HORIZON_STEPS) - lead
    raw = np.stack([_matrix(rows[name], steps) for name in QUANTILE_COLUMNS], axis=-1)
    recipe = {
        name: _matrix(rows[name], steps if name == "seasonal" else size)
        for name, size in Recipe.sizes().items()
    }
    index = {name: i for i, name in enumerate(METRIC_NAMES)}
    return DueIssue(
        issued_at, model, lead, rows["server"].to_pylist(),
        np.array([index[name] for name in rows["metric"].to_pylist()], np.intp),
        np.asarray(pc.not_equal(rows["state"], "abstained")), raw, Recipe.from_flat(recipe),
    )  # fmt: skip


def samples(reader: Reader, servers: Sequence[str], hour: datetime) -> npt.NDArray[np.int64]:
    """How many samples each metric has in the hour from `hour` on: [servers, 14]."""
    counts = ", ".join(f"sum({name}_count)::BIGINT AS {name}" for name in METRIC_NAMES)
    rows = reader.query(
        f"SELECT server, {counts} FROM metrics_5m WHERE ts >= $start AND ts < $stop "
        "AND server >= $first AND server <= $last GROUP BY server",
        start=hour, stop=hour + HOUR, first=servers[0], last=servers[-1],
    )  # fmt: skip
    return _by_server(rows, servers, METRIC_NAMES, 0).astype(np.int64)


def scales(reader: Reader, servers: Sequence[str], hour: datetime) -> Floats:
    """The scale of each metric on each server [servers, 14]; NaN where it is not known.

    100 for percentages. Else P1 to P99 of the 30 days before the first hour of the day that was
    scored: it is kept for the rest of the day.
    """
    result = np.full((len(servers), len(METRICS)), PERCENT, np.float32)
    day = hour.replace(hour=0)
    among = {"from": servers[0], "to": servers[-1]}
    known = reader.named("windows/scored_scales", start=day, stop=day + 24 * HOUR, **among)
    places = [METRIC_NAMES.index(name) for name in _UNBOUNDED]
    result[:, places] = _pivoted(known, servers)[:, places]
    if not np.isnan(result[:, places]).all(axis=1).any():
        return result
    pieces = {
        "ranges": ", ".join(
            f"quantile_cont({n}_mean, 0.99) - quantile_cont({n}_mean, 0.01) AS {n}"
            for n in _UNBOUNDED
        )
    }
    rows = reader.named("windows/ranges", pieces, start=hour - SCALE_SPAN, stop=hour, **among)
    ranges = _by_server(rows, servers, _UNBOUNDED, np.nan)
    result[:, places] = np.where(np.isnan(result[:, places]), ranges, result[:, places])
    return result


def acts(reader: Reader, kinds: Sequence[str], start: datetime, stop: datetime) -> list[ActedSpan]:
    """What people did from `start` to `stop`, of the `kinds` of marks."""
    rows = reader.named("windows/acts", kinds=list(kinds), start=start, stop=stop)
    return [ActedSpan(**row) for row in rows.to_pylist()]


def _pivoted(rows: pa.Table, servers: Sequence[str]) -> Floats:
    """Return server, metric and scale as [servers, 14]; NaN where there is no row."""
    result = np.full((len(servers), len(METRICS)), np.nan, np.float32)
    place = {name: i for i, name in enumerate(servers)}
    for row in rows.to_pylist():
        if row["server"] in place and row["scale"] is not None:
            result[place[row["server"]], METRIC_NAMES.index(row["metric"])] = row["scale"]
    return result


def _by_server(
    rows: pa.Table, servers: Sequence[str], columns: Sequence[str], missing: float
) -> npt.NDArray[np.float64]:
    """Return the columns of one row a server as [servers, columns], `missing` where NULL."""
    place = {name: i for i, name in enumerate(servers)}
    rows = rows.filter(pc.is_in(rows["server"], pa.array(servers, pa.string())))
    result = np.full((len(servers), len(columns)), missing, np.float64)
    at = [place[name] for name in rows["server"].to_pylist()]
    for i, name in enumerate(columns):
        values = rows[name].to_numpy().astype(np.float64)
        result[at, i] = np.where(np.isnan(values), missing, values)
    return result


def _matrix(column: pa.ChunkedArray, size: int) -> Floats:
    """Return a column of lists as [k, size]; NaN where a list is NULL or of another length."""
    lists = column.combine_chunks()
    whole = pc.fill_null(pc.equal(pc.list_value_length(lists), size), False)
    result = np.full((len(lists), size), np.nan, np.float32)
    flat = lists.filter(whole).flatten().to_numpy(zero_copy_only=False)
    result[np.asarray(whole)] = np.asarray(flat, np.float32).reshape(-1, size)
    return result

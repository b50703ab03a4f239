"""Due forecasts: those whose targets lie in an hour that has passed, and what judges them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.config.settings import schema_of
from storage.model.grid import (
    BUCKET_MINUTES,
    HORIZON_STEPS,
    QUANTILE_COLUMNS,
    STEP,
    STEP_MINUTES,
)
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
    servers: Ints  # [k] places in the names that were given
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

    One issue of each quarter of an hour is taken for leads up to an hour, one of each hour for
    longer leads: the errors of its neighbours are nearly the same. Forecasts by users' functions of
    other metrics or of another length are left out.
    """
    among = {"from": servers[0], "to": servers[-1]}
    issues = reader.named(
        "windows/due_issues", {"short": str(BUCKET_MINUTES[0])}, start=hour, first=hour - HORIZON,
        stop=hour + HOUR, **among,
    ).to_pylist()  # fmt: skip
    if not issues:
        return
    pieces = {
        "whole": ", ".join(_WHOLE),
        "sliced": ", ".join(f"{n}[first_step:last_step] AS {n}" for n in _SLICED),
        "issues": _times(each["issued_at"] for each in issues),
        "long": _times(each["issued_at"] for each in issues if each["of_hour"]),
        "horizon": str(HORIZON_STEPS),
        "short": str(BUCKET_MINUTES[0] // STEP_MINUTES),
    }
    rows = reader.named("windows/due_forecasts", pieces, start=hour, stop=hour + HOUR, **among)
    rows = _among(_among(rows, "server", servers), "metric", METRIC_NAMES)
    if rows.num_rows:
        yield from _by_issue(rows.combine_chunks(), servers)


def _among(rows: pa.Table, column: str, names: Sequence[str]) -> pa.Table:
    """Return the rows whose `column` is in `names`: mostly all, and to copy the lists is dear."""
    known = pc.is_in(rows[column], pa.array(names, pa.string()))
    return rows if pc.all(known).as_py() else rows.filter(known)


def _times(issues: Iterable[datetime]) -> str:
    return ", ".join(f"TIMESTAMPTZ '{each.isoformat()}'" for each in issues)


def _by_issue(rows: pa.Table, servers: Sequence[str]) -> Iterator[DueIssue]:
    """Yield the rows of each issue and model."""
    server, metric = _places(servers, rows["server"]), _places(METRIC_NAMES, rows["metric"])
    is_served = np.asarray(pc.not_equal(rows["state"], "abstained"))
    quantiles = [_Lists.of(rows[name]) for name in QUANTILE_COLUMNS]
    recipe = {name: (_Lists.of(rows[name]), size) for name, size in Recipe.sizes().items()}
    models = rows["model"].combine_chunks().dictionary_encode()
    issued = np.asarray(rows["issued_at"].cast(pa.int64()))
    keys = np.stack([issued, np.asarray(models.indices.fill_null(-1))])
    for key in np.unique(keys, axis=1).T:
        at = np.flatnonzero((keys == key[:, None]).all(axis=0))
        first = rows.slice(int(at[0]), 1).to_pylist()[0]
        steps = first["steps"]
        columns = {
            name: lists.at(at, steps if name == "seasonal" else size)
            for name, (lists, size) in recipe.items()
        }
        yield DueIssue(
            first["issued_at"], first["model"], first["lead"], server[at], metric[at],
            is_served[at], np.stack([lists.at(at, steps) for lists in quantiles], axis=-1),
            Recipe.from_flat(columns),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Lists:
    """A column of lists: where each begins in the flat values, and its length (0: NULL)."""

    values: Floats
    begins: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> "_Lists":
        lists = column.combine_chunks()
        lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
        values = lists.flatten().to_numpy(zero_copy_only=False)  # without those of NULL
        return cls(np.asarray(values, np.float32), np.cumsum(lengths) - lengths, lengths)

    def at(self, places: Ints, size: int) -> Floats:
        """Return the lists at `places` as [k, size]; NaN where one is of another length."""
        result = np.full((len(places), size), np.nan, np.float32)
        whole = self.lengths[places] == size
        begins = self.begins[places[whole]]
        result[whole] = self.values[begins[:, None] + np.arange(size)]
        return result


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


def _places(names: Sequence[str], column: pa.ChunkedArray) -> Ints:
    """Return the place in `names` of each value of a column."""
    values = pa.array(names, pa.string())
    return np.asarray(pc.index_in(column.combine_chunks(), values)).astype(np.intp)

"""Scores: every forecast is compared with what happened, next to naive forecasts of that time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.acted_on import ACTS, Act, acted_steps, reboots
from functions.rules.scores import COUNTS, SUMS, DueForecasts, HourSums, Observed
from storage.model.grid import BUCKET_MINUTES, CONTEXT_STEPS, HORIZON_STEPS, STEP
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.schema import table
from storage.model.served import candidate_rows, served_rows
from storage.query import due_forecasts
from storage.query.due_forecasts import HOUR, DueIssue

# The steps of an hour are rolled up so soon after its end; a silent fleet is waited for so long.
SETTLED = timedelta(minutes=2)
LONGEST_WAIT = timedelta(minutes=15)

# Servers of one run, which is to stay short.
MAX_SERVERS = 256

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NO_MODEL = "none"

_BEFORE = CONTEXT_STEPS + HORIZON_STEPS  # steps before an hour that its scores need
_UPTIME = METRIC_NAMES.index("uptime_days")
_LOWEST = np.array([m.lowest for m in METRICS], np.float32)
_HIGHEST = np.array([np.inf if m.highest is None else m.highest for m in METRICS], np.float32)
_COUNTERS = np.array([m.kind == "counter" for m in METRICS])


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far scores are: the newest commit that was seen, and the end of the last whole hour.

    `hours` are still to be scored, the first of them from the servers after `after` on.
    """

    commit: datetime = BEGINNING
    until: datetime | None = None
    hours: tuple[datetime, ...] = ()
    after: str = ""


@function(on=(rows("metrics_5m", pause="2m"), every("5m")), writes="scores")
def score(window: Window, cursor: str | None) -> Batch:
    """Score the hours that are complete, and again those servers whose samples came late."""
    position = msgspec.json.decode(cursor, type=Position) if cursor else Position()
    if not position.hours:
        position = _next_hours(window, position)
    while position.hours:
        hour = position.hours[0]
        servers = due_forecasts.servers_to_score(
            window.reader, hour, position.after, MAX_SERVERS + 1
        )
        position = _moved(position, servers)
        if servers:
            scored = score_hour(window, hour, servers[:MAX_SERVERS])
            return Batch(
                {"scores": scored}, window_key=hour.isoformat(), more=bool(position.hours),
                cursor=msgspec.json.encode(position).decode(),
            )  # fmt: skip
        if not position.hours:
            return Batch(cursor=msgspec.json.encode(position).decode())
    return Batch()


def _moved(position: Position, servers: Sequence[str]) -> Position:
    """Return the position after the first MAX_SERVERS of `servers` of its first hour."""
    if len(servers) > MAX_SERVERS:
        return msgspec.structs.replace(position, after=servers[MAX_SERVERS - 1])
    return msgspec.structs.replace(position, hours=position.hours[1:], after="")


def _next_hours(window: Window, position: Position) -> Position:
    """Return the position with the hours that became complete, or whose samples came late."""
    until = _complete(window)
    oldest = due_forecasts.oldest_hour(window.reader, window.now)
    since = position.until or until
    touched = due_forecasts.touched_hours(window.reader, position.commit, since, until, oldest)
    if not touched.hours:
        return position
    return Position(touched.cursor or position.commit, until, touched.hours)


def _complete(window: Window) -> datetime:
    """Return the end of the newest hour whose steps have all been rolled up."""
    until = _hour(window.now - SETTLED)
    newest = due_forecasts.newest_step(window.reader, until)
    rolled_up = newest is not None and newest >= until - STEP
    return until if rolled_up or window.now >= until + LONGEST_WAIT else until - HOUR


def _hour(ts: datetime) -> datetime:
    return ts.replace(minute=0, second=0, microsecond=0)


def score_hour(window: Window, hour: datetime, servers: Sequence[str]) -> pa.Table:
    """Return the rows of `scores` of the hour from `hour` on, of `servers` in order of name."""
    context = window.contexts(hour + HOUR, _BEFORE + HOUR // STEP, servers)
    names = context.servers
    if not names:
        return table("scores").arrow.empty_table()
    observed = Observed(
        _as_series(context.values),
        _acted(window, context.start, names, context.values),
        due_forecasts.scales(window.reader, names, hour).reshape(-1),
        np.tile(_COUNTERS, len(names)),
    )
    models: dict[str, HourSums] = {}
    for issue in due_forecasts.due_issues(window.reader, names, hour):
        model = issue.model or NO_MODEL
        sums = models.setdefault(model, HourSums(observed))
        step = (max(hour, issue.issued_at) - context.start) // STEP
        sums.add(_due(issue, step))
    counts = due_forecasts.samples(window.reader, names, hour).reshape(-1)
    parts = [
        _rows(names, hour, model, sums, observed.scale, counts) for model, sums in models.items()
    ]
    return pa.concat_tables([table("scores").arrow.empty_table(), *parts])


def _as_series(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return [servers, steps, 14] as [servers * 14, steps]."""
    return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(-1, values.shape[1])


def _acted(
    window: Window, start: datetime, names: Sequence[str], values: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Return a mask [servers * 14, steps] of the steps in which somebody acted or it rebooted."""
    steps = values.shape[1]
    rows = due_forecasts.acts(window.reader, ACTS, start, start + steps * STEP)
    acts = [_act(row, start) for row in rows]
    mask = acted_steps(acts, names, METRIC_NAMES, steps)
    mask |= reboots(values[:, :, _UPTIME])[:, None]
    return mask.reshape(-1, steps)


def _act(row: due_forecasts.ActedSpan, start: datetime) -> Act:
    first, last = ((ts - start) // STEP for ts in (row.start, row.stop))
    return Act(first, last, row.server, row.pattern, row.metric)


def _due(issue: DueIssue, step: int) -> DueForecasts:
    steps = slice(issue.lead, issue.lead + issue.raw.shape[1])
    bounds = _LOWEST[issue.metrics], _HIGHEST[issue.metrics]
    candidates = candidate_rows(issue.raw, issue.recipe, *bounds, steps)
    return DueForecasts(
        issue.servers * len(METRIC_NAMES) + issue.metrics, step, issue.lead, issue.is_served,
        served_rows(issue.raw, issue.recipe, *bounds, steps), issue.raw, *candidates,
    )  # fmt: skip


def _rows(
    names: Sequence[str],
    hour: datetime,
    model: str,
    sums: HourSums,
    scale: npt.NDArray[np.floating],
    samples: npt.NDArray[np.int64],
) -> pa.Table:
    """Return a row for each series and lead bucket in which something was counted."""
    series, bucket = np.nonzero(sums.counted)
    count, schema = len(series), table("scores").arrow
    total, counted = sums.sums[series, bucket], sums.counts[series, bucket]
    nothing = counted[:, COUNTS.index("targets")] == 0
    unscaled = nothing | np.isnan(scale[series])
    columns = {
        "server": pa.array(names).take(series // len(METRIC_NAMES)),
        "metric": pa.array(METRIC_NAMES).take(series % len(METRIC_NAMES)),
        "bucket": np.array(BUCKET_MINUTES, np.int16)[bucket],
        "ts": pa.repeat(pa.scalar(hour, schema.field("ts").type), count),
        "model": pa.repeat(pa.scalar(model, pa.string()), count),
        "samples": samples[series],
        "scale": pa.array(scale[series], pa.float32(), mask=np.isnan(scale[series])),
    }
    columns |= {name: counted[:, i] for i, name in enumerate(COUNTS)}
    columns["within_10"] = pa.array(counted[:, COUNTS.index("within_10")], mask=unscaled)
    for i, name in enumerate(SUMS):
        columns[name] = pa.array(total[:, i], pa.float32(), mask=nothing | np.isnan(total[:, i]))
    columns["replayed"] = pa.nulls(count, pa.bool_())
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)

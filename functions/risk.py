"""Risk: how bad each server is now, how bad it is going to be, and why."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.engine.executors.executor import error_text
from functions.engine.fleet_isolation import divide_on_failure
from functions.engine.function import function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.fleet_state import NAMES, KnownOdds
from functions.rules.risk_score import FleetState, assess
from storage.model.grid import LEAD_MINUTES, floor_step
from storage.model.schema import table

# The last hour shows where a metric is heading.
RECENT_STEPS = 12
# A server last heard of longer ago than this has no last sample to be judged by.
OLDEST_SAMPLE = timedelta(days=1)
# Small odds are issued every 15 minutes only.
ODDS_GOOD_FOR = timedelta(minutes=30)

Floats = npt.NDArray[np.float32]


@function(on=(rows("forecasts"), every("1m")), writes="risks")
def risk(window: Window) -> pa.Table:
    """Score every known server: the present from its samples, the future from its forecast."""
    recent = window.contexts(floor_step(window.now), RECENT_STEPS)
    samples = window.readings(OLDEST_SAMPLE)
    issued = window.forecasts(NAMES)
    servers = recent.servers
    sampled, forecast = _positions(servers, samples.servers), _positions(servers, issued.servers)
    fleet = FleetState(
        profiles=recent.profiles,
        cores=recent.cores,
        recent=recent.values,
        latest=_rows_at(samples.values, sampled),
        age_s=_ages(samples.at, sampled, window.now),
        quantiles=_rows_at(issued.quantiles, forecast),
        issued_at=[None if i < 0 else issued.issued_at[i] for i in forecast],
        known=_known(window, servers),
    )
    return pa.Table.from_pylist(risk_rows(servers, fleet, window.now), table("risks").arrow)


def risk_rows(servers: Sequence[str], fleet: FleetState, now: datetime) -> list[dict[str, Any]]:
    """Return a row of `risks` for each server; where the rule fails, with a reason and no score."""
    scored = divide_on_failure(servers, lambda part: assess(fleet.part(part), now))
    rows = [
        risk.row(servers[part.start + i], now)
        for part, risks in scored.results for i, risk in enumerate(risks)
    ]  # fmt: skip
    for index, error in scored.failures.items():
        reason = {"metric": None, "points": 0.0, "text": f"not scored: {error_text(error)}"}
        rows.append({"server": servers[index], "issued_at": now, "reasons": [reason]})
    return rows


def _known(window: Window, servers: Sequence[str]) -> KnownOdds | None:
    """Return the newest odds of each server and metric; None if none are recent."""
    leads = ", ".join(f"{kind}_{lead}m" for kind in ("p", "raw") for lead in LEAD_MINUTES)
    rows = window.sql(
        f"SELECT server, metric, {leads}, earliest, likely, latest, drivers FROM odds "
        "WHERE issued_at > $oldest AND issued_at <= $now AND list_contains($metrics, metric) "
        "QUALIFY issued_at = max(issued_at) OVER (PARTITION BY server, metric)",
        oldest=window.now - ODDS_GOOD_FOR, now=window.now, metrics=list(NAMES),
    )  # fmt: skip
    place = {name: i for i, name in enumerate(servers)}
    rows = rows.filter(pc.is_in(rows["server"], pa.array(servers, pa.string())))
    if not rows.num_rows:
        return None
    at = (
        np.array([place[name] for name in rows["server"].to_pylist()], np.intp),
        np.array([NAMES.index(name) for name in rows["metric"].to_pylist()], np.intp),
    )
    drivers: list[dict[int, list[str]]] = [{} for _ in servers]
    for i, j, texts in zip(*at, rows["drivers"].to_pylist(), strict=True):
        if texts:
            drivers[i][int(j)] = texts
    columns = {kind: [rows[f"{kind}_{lead}m"] for lead in LEAD_MINUTES] for kind in ("p", "raw")}
    times = [_seconds(rows[name]) for name in ("earliest", "likely", "latest")]
    n = len(servers)
    return KnownOdds(
        _grid(columns["p"], at, n), _grid(columns["raw"], at, n), _grid(times, at, n), drivers
    )


def _grid(
    columns: Sequence[pa.ChunkedArray],
    at: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    servers: int,
) -> npt.NDArray[np.float64]:
    """Return columns of rows at (server, metric) as [servers, judged, columns]; NaN elsewhere."""
    grid = np.full((servers, len(NAMES), len(columns)), np.nan)
    for i, column in enumerate(columns):
        grid[(*at, i)] = column.to_numpy()
    return grid


def _seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times as seconds since 1970; NULL stays."""
    return pc.divide(pc.cast(column.cast(pa.int64()), pa.float64()), 1e6)


def _positions(servers: Sequence[str], others: Sequence[str]) -> list[int]:
    """Return the index of each server in `others`; −1 where it is not there."""
    index = {name: i for i, name in enumerate(others)}
    return [index.get(name, -1) for name in servers]


def _rows_at(values: Floats, positions: Sequence[int]) -> Floats:
    """Return the rows of `values` at `positions`, NaN where the position is −1."""
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan, np.float32)])
    chosen: Floats = padded[list(positions)]
    return chosen


def _ages(
    at: Sequence[datetime], positions: Sequence[int], now: datetime
) -> npt.NDArray[np.float64]:
    return np.array([np.nan if i < 0 else (now - at[i]).total_seconds() for i in positions])

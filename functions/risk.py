"""Risk: how bad each server is now, how bad it is going to be, and why."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.executors.executor import error_text
from functions.engine.fleet_isolation import divide_on_failure
from functions.engine.function import function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.risk_score import FleetState, assess
from storage.model.grid import floor_step
from storage.model.schema import table

# The last hour shows where a metric is heading.
RECENT_STEPS = 12
# A server last heard of longer ago than this has no last sample to be judged by.
OLDEST_SAMPLE = timedelta(days=1)

Floats = npt.NDArray[np.float32]


@function(on=(rows("forecasts"), every("1m")), writes="risks")
def risk(window: Window) -> pa.Table:
    """Score every known server: the present from its samples, the future from its forecast."""
    recent = window.contexts(floor_step(window.now), RECENT_STEPS)
    samples = window.readings(OLDEST_SAMPLE)
    issued = window.forecasts()
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

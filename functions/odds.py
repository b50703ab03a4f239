"""Odds: the chance that each judged metric of each server breaches its critical level soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.defaults import LEAST_EVENTS
from functions.rules.fleet_state import NAMES, SIGNS, Bands, Floats, bands_of
from functions.rules.odds.breaches import CARRY_STEPS
from functions.rules.odds.issue import IssuedOdds, issue
from functions.rules.odds.models import OddsModels, odds_models
from storage.model.grid import LEAD_MINUTES, STEP_MINUTES
from storage.model.metrics import FORECAST_PRECISION
from storage.model.precision import stored
from storage.model.schema import TIMESTAMP, table

__all__ = ["odds"]

# A forecast that was issued longer ago than this says nothing new.
FORECAST_GOOD_FOR: Final = timedelta(hours=1)
SMALL_ODDS_EVERY_MINUTES: Final = 15
_BEGINNING: Final = "1970-01-01T00:00:00+00:00"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Issue:
    """What the odds of one issue are made from: n servers in one order.

    `is_new` [n] marks those whose forecast came since the cursor.
    """

    servers: Sequence[str]
    issued_at: datetime
    forecasters: Sequence[str | None]
    is_new: Mask
    recent: Floats
    quantiles: Floats
    bands: Bands


@function(on=(rows("forecasts"), every("5m")), writes=("odds", "fleet_odds"))
def odds(window: Window, cursor: str | None) -> Batch:
    """Issue the odds of each server that has a new forecast, and the chance of the whole fleet."""
    made = window.sql(
        "SELECT server, issued_at, any_value(model) AS model, max(made_at) AS made_at "
        "FROM forecasts WHERE issued_at > $oldest AND issued_at <= $now GROUP BY server, issued_at "
        "QUALIFY issued_at = max(issued_at) OVER ()",
        oldest=window.now - FORECAST_GOOD_FOR, now=window.now,
    ).to_pylist()  # fmt: skip
    since = datetime.fromisoformat(cursor or _BEGINNING)
    newest = max((row["made_at"] for row in made), default=since)
    if newest <= since:
        return Batch()
    models = _models(window)
    inputs = _inputs(window, made, since)
    issued = issue(inputs.recent, inputs.quantiles, inputs.bands, models)
    return Batch(
        {"odds": _rows(inputs, issued, models), "fleet_odds": _fleet_row(inputs, issued, models)},
        cursor=newest.isoformat(), window_key=inputs.issued_at.isoformat(),
    )  # fmt: skip


def _models(window: Window) -> OddsModels:
    """Return what serves: the newest fit of each kind."""
    newest = window.sql(
        "SELECT * FROM odds_models WHERE ts <= $now QUALIFY row_number() OVER "
        "(PARTITION BY kind, metric_group, lead_minutes ORDER BY ts DESC) = 1",
        now=window.now,
    )
    return odds_models(newest.to_pylist(), LEAST_EVENTS)


def _inputs(window: Window, made: Sequence[dict[str, Any]], since: datetime) -> _Issue:
    issued_at, by_server = made[0]["issued_at"], {row["server"]: row for row in made}
    forecasts = window.forecasts(NAMES)
    place = {
        server: i
        for i, (server, at) in enumerate(zip(forecasts.servers, forecasts.issued_at, strict=True))
        if at == issued_at and server in by_server
    }
    history = window.contexts(issued_at, CARRY_STEPS, list(place))
    return _Issue(
        history.servers, issued_at,
        [by_server[server]["model"] for server in history.servers],
        np.array([by_server[server]["made_at"] > since for server in history.servers], bool),
        history.values, forecasts.quantiles[[place[server] for server in history.servers]],
        bands_of(history.profiles, history.cores),
    )  # fmt: skip


def _rows(inputs: _Issue, issued: IssuedOdds, models: OddsModels) -> pa.Table:
    """Return a row for each metric with odds, the small ones every 15 minutes only."""
    chosen = ~np.isnan(issued.raw[..., -1]) & inputs.is_new[:, None]
    if inputs.issued_at.minute % SMALL_ODDS_EVERY_MINUTES:
        chosen &= ~issued.small
    row, metric = np.nonzero(chosen)
    schema, count = table("odds").arrow, len(row)
    sign = SIGNS[metric]
    columns: dict[str, Any] = {
        "server": pa.array(inputs.servers, pa.string()).take(pa.array(row)),
        "metric": pa.array(NAMES).take(pa.array(metric)),
        "issued_at": pa.repeat(pa.scalar(inputs.issued_at, TIMESTAMP), count),
        "model": pa.array(inputs.forecasters, pa.string()).take(pa.array(row)),
        "level": sign * inputs.bands.critical[row, metric],
        "value": sign * issued.value[row, metric],
        "origin": pa.array(["bands", "trend"]).take(
            pa.array(issued.trend[row, metric].astype(int))
        ),
        "checked": pa.repeat(pa.scalar(models.checked), count),
        "replayed": pa.nulls(count, pa.bool_()),
        "drivers": pa.array(
            [
                issued.drivers(models, inputs.bands, int(i), int(j))
                for i, j in zip(row, metric, strict=True)
            ],
            pa.list_(pa.string()),
        ),
    }
    kinds = {"p": issued.p, "raw": issued.raw, "any": issued.any_p, "raw_any": issued.any_raw}
    for kind, values in kinds.items():
        for i, lead in enumerate(LEAD_MINUTES):
            columns[f"{kind}_{lead}m"] = values[row, metric, i]
    for i, name in enumerate(("earliest", "likely", "latest")):
        columns[name] = _times(inputs.issued_at, issued.first[row, metric, i])
    arrays = [_array(columns[field.name], field) for field in schema]
    return pa.table(arrays, schema=schema)


def _array(column: Any, field: pa.Field) -> pa.Array:
    """Return a column in the table's type, to as many digits as forecasts have; NaN is NULL."""
    if isinstance(column, np.ndarray):
        floats = pa.array(np.asarray(column, np.float32), pa.float32(), mask=np.isnan(column))
        return stored(pa.chunked_array([floats]), FORECAST_PRECISION).combine_chunks()
    return column.cast(field.type)


def _times(issued_at: datetime, steps: npt.NDArray[np.intp]) -> pa.Array:
    """Return the starts of steps after the issue; NULL where there is none (−1)."""
    micros = int(issued_at.timestamp()) * 1_000_000 + steps * (STEP_MINUTES * 60_000_000)
    return pa.array(micros, pa.int64(), mask=steps < 0).cast(TIMESTAMP)


def _fleet_row(inputs: _Issue, issued: IssuedOdds, models: OddsModels) -> pa.Table:
    fleet = issued.fleet
    row = {
        "issued_at": inputs.issued_at,
        "servers": int((~np.isnan(issued.raw[..., -1])).any(axis=1).sum()),
        "p_30m": fleet.chance[0], "p_480m": fleet.chance[1],
        "raw_expected_30m": fleet.raw[0], "raw_expected_480m": fleet.raw[1],
        "expected_30m": fleet.expected[0], "expected_480m": fleet.expected[1],
        "checked": models.checked and bool(models.fleet),
    }  # fmt: skip
    return pa.Table.from_pylist([row] if row["servers"] else [], table("fleet_odds").arrow)

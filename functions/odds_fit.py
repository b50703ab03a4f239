"""Daily refit of the odds on the fleet's own outcomes: calibrators, trend head, paths, fleet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.engine.window import Window
from functions.rules.acted_on import ACTS, Act, acted_steps, reboots
from functions.rules.defaults import BREACH_STEPS
from functions.rules.fleet_state import JUDGED, NAMES, SIGNS, Floats, bands_of, judged
from functions.rules.odds.cases import Issued, cases_of
from functions.rules.odds.fit import FLEET_MINUTES, fit_fleet, fit_odds
from functions.rules.odds.models import Fitted, templates_text
from functions.rules.odds.paths import LEAST_TEMPLATES, rank_templates
from storage.model.grid import (
    HORIZON_STEPS,
    LEAD_MINUTES,
    QUANTILE_COLUMNS,
    STEP,
    STEP_MINUTES,
    floor_step,
)
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.query import due_forecasts
from storage.query.forecast_rows import RECIPE_COLUMNS, forecast_rows
from storage.query.windows import Contexts

__all__ = ["odds_fit", "refit"]

REFIT_AFTER: Final = timedelta(hours=23, minutes=30)
NEW_PATHS_AFTER: Final = timedelta(days=7)
FIT_DAYS: Final = 14
FLEET_DAYS: Final = 90
# So many servers are fitted on: those with breaches first, and a part of the others; the odds of
# every 15 minutes of few servers, of every 30 of more.
BREACHED_SERVERS, OTHER_SERVERS = 32, 16
FEW_SERVERS: Final = 24
# Paths are from so many issues, so far apart.
PATH_ISSUES: Final = 24
_UPTIME: Final = METRIC_NAMES.index("uptime_days")
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEED: Final = 20_260_506


@dataclass(frozen=True, slots=True)
class _Sample:
    """Servers to fit on, and how many servers each stands for."""

    servers: Sequence[str]
    weights: Sequence[float]
    model: str | None

    @property
    def mark(self) -> timedelta:
        """Return how far apart the odds are that are fitted on."""
        return timedelta(minutes=15 if len(self.servers) <= FEW_SERVERS else 30)


@function(on=every("1h"), writes="odds_models")
def odds_fit(window: Window) -> Batch:
    """Refit once a day how odds are calibrated, on what came of them so far."""
    fits = window.sql(
        "SELECT kind, max(ts) AS ts FROM odds_models WHERE ts <= $now GROUP BY kind", now=window.now
    ).to_pylist()
    last = {row["kind"]: row["ts"] for row in fits}
    if "calibration" in last and window.now - last["calibration"] < REFIT_AFTER:
        return Batch()
    new_paths = "paths" not in last or window.now - last["paths"] >= NEW_PATHS_AFTER
    return refit(window, new_paths)


def refit(window: Window, new_paths: bool = True) -> Batch:
    """Fit on all outcomes that are known; with `new_paths`, the paths as well."""
    until = floor_step(window.now) - (HORIZON_STEPS + BREACH_STEPS - 1) * STEP
    sample = _sample(window, until)
    if not sample.servers:
        return Batch()
    start = max(_first_odds(window, sample), until - timedelta(days=FIT_DAYS))
    history = _history(window, sample, start)
    fitted = fit_odds(cases_of(*_levelled(history), _issued(window, sample, history, until)))
    fitted += [_fleet(window, until, fit) for fit in fitted if _of_fleet(fit)]
    if new_paths:
        fitted += _paths(window, history, until)
    facts = {"ts": window.now, "model": sample.model}
    made = [fit.row() | facts for fit in fitted]
    return Batch({"odds_models": pa.Table.from_pylist(made, table("odds_models").arrow)})


def _sample(window: Window, until: datetime) -> _Sample:
    """Return the servers to fit on: all of a small fleet, a part of each kind of a large one."""
    rows = window.sql(
        "SELECT server, max(model) AS model, bool_or(server IN ("
        "SELECT server FROM breaches WHERE level = 'critical' AND ts >= $start)) AS breached "
        "FROM odds WHERE issued_at >= $start AND issued_at <= $until "
        "GROUP BY server ORDER BY hash(server), server",
        start=until - timedelta(days=FIT_DAYS), until=until,
    ).to_pylist()  # fmt: skip
    with_breach = [row["server"] for row in rows if row["breached"]]
    without = [row["server"] for row in rows if not row["breached"]]
    first = with_breach[:BREACHED_SERVERS]
    others = without[: BREACHED_SERVERS + OTHER_SERVERS - len(first)]
    weights = dict.fromkeys(first, len(with_breach) / max(len(first), 1))
    weights |= dict.fromkeys(others, len(without) / max(len(others), 1))
    servers = sorted(weights)
    models = {row["model"] for row in rows if row["model"]}
    return _Sample(servers, [weights[name] for name in servers], max(models, default=None))


def _first_odds(window: Window, sample: _Sample) -> datetime:
    first: datetime = window.sql(
        "SELECT min(issued_at) AS ts FROM odds WHERE list_contains($servers, server)",
        servers=list(sample.servers),
    )["ts"][0].as_py()
    return floor_step(first)


def _history(window: Window, sample: _Sample, start: datetime) -> Contexts:
    """Return the sample's steps from 8 hours before the first odds on, until now."""
    stop = floor_step(window.now)
    begin = start - start.minute * timedelta(minutes=1) % sample.mark - HORIZON_STEPS * STEP
    return window.contexts(stop, (stop - begin) // STEP, sample.servers)


def _levelled(history: Contexts) -> tuple[Floats, Floats, Floats]:
    bands = bands_of(history.profiles, history.cores)
    return judged(history.values), bands.critical, bands.warn


def _issued(window: Window, sample: _Sample, history: Contexts, until: datetime) -> Issued:
    """Return the odds issued at every mark, less those in whose 8 hours somebody acted."""
    columns = ", ".join(f"{kind}_{lead}m" for kind in ("raw", "raw_any") for lead in LEAD_MINUTES)
    rows = window.sql(
        f"SELECT server, metric, issued_at, {columns} FROM odds WHERE issued_at >= $start "
        "AND issued_at <= $until AND minute(issued_at) % $mark = 0 "
        "AND list_contains($servers, server) AND list_contains($metrics, metric)",
        start=history.start + HORIZON_STEPS * STEP, until=until, servers=list(history.servers),
        metrics=list(NAMES), mark=sample.mark // timedelta(minutes=1),
    )  # fmt: skip
    first = HORIZON_STEPS
    origins = np.arange(first, (until - history.start) // STEP + 1, sample.mark // STEP)
    shape = (len(history.servers), len(origins), len(JUDGED), len(LEAD_MINUTES))
    at = _places(rows, history, origins)
    raw, any_raw = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for i, lead in enumerate(LEAD_MINUTES):
        raw[(*at, i)] = rows[f"raw_{lead}m"].to_numpy()
        any_raw[(*at, i)] = rows[f"raw_any_{lead}m"].to_numpy()
    raw[_acted_ahead(window, history, origins)] = np.nan
    by_name = dict(zip(sample.servers, sample.weights, strict=True))
    weight = np.array([by_name[name] for name in history.servers])
    return Issued(origins, raw, any_raw, np.broadcast_to(weight[:, None, None], shape[:3]))


def _places(
    rows: pa.Table, history: Contexts, origins: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the server, origin and judged metric of each row, by their indices."""
    server = {name: i for i, name in enumerate(history.servers)}
    metric = {name: i for i, name in enumerate(NAMES)}
    micros = np.asarray(rows["issued_at"].cast(pa.int64()))
    begin = int(history.start.timestamp()) * 1_000_000
    step = (micros - begin) // int(STEP / timedelta(microseconds=1))
    return (
        np.array([server[name] for name in rows["server"].to_pylist()], np.intp),
        np.searchsorted(origins, step),
        np.array([metric[name] for name in rows["metric"].to_pylist()], np.intp),
    )


def _acted_ahead(
    window: Window, history: Contexts, origins: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Return a mask [n, m, judged] of the odds in whose 8 hours somebody acted or it rebooted."""
    steps = history.values.shape[1]
    spans = due_forecasts.acts(window.reader, ACTS, history.start, history.stop)
    acts = [
        Act(
            (span.start - history.start) // STEP, (span.stop - history.start) // STEP,
            span.server, span.pattern, span.metric,
        ) for span in spans
    ]  # fmt: skip
    mask = acted_steps(acts, history.servers, NAMES, steps)
    mask |= reboots(history.values[:, :, _UPTIME])[:, None]
    acted = np.cumsum(mask, axis=2)
    before = np.where(origins > 0, acted[:, :, origins - 1], 0)
    ahead = acted[:, :, np.minimum(origins + HORIZON_STEPS, steps) - 1] > before
    return ahead.swapaxes(1, 2)


def _of_fleet(fit: Fitted) -> bool:
    return fit.kind == "calibration" and fit.lead_minutes in FLEET_MINUTES


def _fleet(window: Window, until: datetime, calibration: Fitted) -> Fitted:
    """Return the scale and the calibrator of the fleet's chance within the lead of a calibration.

    Sums of odds before calibration and after it differ: only those made as they are made from now
    on are fitted on.
    """
    lead = calibration.lead_minutes
    since = _served_since(window, lead, calibration.serves)
    rows = window.sql(
        f"SELECT issued_at, raw_expected_{lead}m AS expected FROM fleet_odds "
        "WHERE minute(issued_at) % 15 = 0 AND issued_at >= $start AND issued_at <= $until "
        "ORDER BY issued_at",
        start=max(until - timedelta(days=FLEET_DAYS), since), until=until,
    )  # fmt: skip
    breaches = window.sql(
        "SELECT ts FROM breaches WHERE level = 'critical' AND ended_at > ts AND NOT acted_on "
        "AND ts >= $start AND ts <= $now ORDER BY ts",
        start=since, now=window.now,
    )  # fmt: skip
    minutes, starts = (_minutes(each) for each in (rows["issued_at"], breaches["ts"]))
    before, after = (np.searchsorted(starts, minutes + ahead) for ahead in (0, lead))
    count = (after - before).astype(float)
    return fit_fleet(lead, rows["expected"].to_numpy(), count, minutes // STEP_MINUTES, len(starts))


def _served_since(window: Window, lead: int, serves: bool) -> datetime:
    """Return since when calibration has served at a lead, or has not; now if that is new."""
    fits = window.sql(
        "SELECT ts, serves FROM odds_models WHERE kind = 'calibration' AND lead_minutes = $lead "
        "AND ts <= $now ORDER BY ts DESC",
        lead=lead, now=window.now,
    ).to_pylist()  # fmt: skip
    same = list(takewhile(lambda fit: fit["serves"] == serves, fits))
    if len(same) == len(fits) and not serves:
        return _BEGINNING
    since: datetime = same[-1]["ts"] if same else window.now
    return since


def _minutes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64())) // 60_000_000


def _paths(window: Window, history: Contexts, until: datetime) -> list[Fitted]:
    """Return the rank templates of each metric that has enough of them, from recent forecasts."""
    values, critical, warn = _levelled(history)
    rng = np.random.default_rng(_SEED)
    rows = _path_forecasts(window, history, until)
    served = forecast_rows(rows).served()
    begin = int(history.start.timestamp()) // 60
    step = (_minutes(rows["issued_at"]) - begin) // STEP_MINUTES
    server = {name: i for i, name in enumerate(history.servers)}
    place = np.array([server[name] for name in rows["server"].to_pylist()], np.intp)
    result = []
    for j, name in enumerate(NAMES):
        chosen = np.flatnonzero(np.asarray(rows["metric"].to_pylist()) == name)
        if not len(chosen):
            continue
        quantiles = served[chosen] if SIGNS[j] > 0 else -served[chosen][..., ::-1]
        actual = np.stack([values[place[i], step[i] : step[i] + HORIZON_STEPS, j] for i in chosen])
        gap = np.maximum(critical[:, j] - warn[:, j], 1e-9)[place[chosen]]
        templates = rank_templates(quantiles, actual, gap, rng)
        if len(templates) >= LEAST_TEMPLATES:
            parameters = {"templates": templates_text(templates)}
            result.append(Fitted("paths", name, 0, 0, len(templates), parameters=parameters))
    return result


def _path_forecasts(window: Window, history: Contexts, until: datetime) -> pa.Table:
    """Return the sample's forecasts of a few issues, evenly spaced over those that are over."""
    issues = window.sql(
        "SELECT DISTINCT issued_at FROM forecasts WHERE issued_at >= $start "
        "AND issued_at <= $until ORDER BY issued_at",
        start=history.start, until=until,
    )["issued_at"].to_pylist()  # fmt: skip
    places = np.unique(np.linspace(0, len(issues) - 1, PATH_ISSUES).round().astype(int))
    columns = ", ".join((*QUANTILE_COLUMNS, *RECIPE_COLUMNS))
    return window.sql(
        f"SELECT server, metric, issued_at, {columns} FROM forecasts "
        "WHERE list_contains($issues, issued_at) AND list_contains($servers, server) "
        "AND list_contains($metrics, metric) AND state != 'abstained' ORDER BY ALL",
        issues=[issues[i] for i in places] if issues else [], servers=list(history.servers),
        metrics=list(NAMES),
    )  # fmt: skip

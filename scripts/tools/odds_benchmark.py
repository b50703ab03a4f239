"""Odds benchmark: skill and reliability of the odds of a breach, before and after calibration.

    python -m scripts.tools.odds_benchmark [--real DIR] [--model FILE] [--work DIR] [--svg FILE] \
        [SET ...]

A SET is `mixed` (a simulated fleet), `smd` or `jumpstarter` (from DIR/SET.parquet; the critical
level of a series is its P99, or P99.5, before the scored days, and its warn level the P95), with a
forecast every 15 minutes. Calibrators, paths and trend head are fitted by the code that serves, on
the first two thirds of the scored days, and judged on the last. `--work` keeps the forecasts' odds.
The picture shows said against came with the band of blocks (server × 8 h).
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.fleet_state import JUDGED, Floats, bands_of, judged, judged_quantiles
from functions.rules.odds.calibrator import Calibrator, fit_calibrator
from functions.rules.odds.cases import Cases, Issued, cases_of
from functions.rules.odds.exceedance import exceedance, odds_within
from functions.rules.odds.fit import HELD_OUT_SHARE, fit_odds, halves, trend_head
from functions.rules.odds.models import Fitted
from functions.rules.odds.paths import LEAST_TEMPLATES, Ranks, path_odds, rank_templates
from functions.rules.odds.reliability import Reliability, reliability
from scripts.tools.datasets import DATASETS, as_named, read_set
from scripts.tools.pretrain import simulated
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, LEAD_MINUTES, STEP_MINUTES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import STEP_S, History

SEED = 4242
SIMULATED_SERVERS, SIMULATED_DAYS, SAMPLES = 40, 12, 5
SCORED_DAYS = 10
ISSUE_STEPS = 3
DAY_STEPS = 24 * 60 // STEP_MINUTES
LEVELS = {"smd": 99.0, "jumpstarter": 99.5}
WARN_LEVEL = 95.0
OUT_OF_REACH = 1e9
TEMPLATE_EVERY = 12  # issues of 15 minutes
SHOWN_MINUTES = (60, 480)
SHOWN_ODDS = {
    "three in a row, raw": "#b0412e",
    "three in a row, calibrated": "#1f6f8b",
    "three in a row, trend head": "#3d7a37",
}
SIDE = 300


@dataclass(frozen=True, slots=True)
class OddsSet:
    """A history with its levels [n, judged], and the odds of its forecasts.

    `values` [n, T, judged] are signed; `curve` [n, m, judged, 96] are the odds of the steps of the
    forecasts issued at the steps `origins` [m]; `templates` are ranks of each metric, from the
    days that are fitted on.
    """

    name: str
    values: Floats
    critical: Floats
    warn: Floats
    origins: np.ndarray
    curve: Floats
    templates: dict[int, Ranks]


def odds_set(name: str, real: Path, forecaster: Forecaster, work: Path | None) -> OddsSet:
    """Return a set with its forecasts' odds, from `work` where they were made before."""
    history = _history(name, real)
    values = judged(history.values)
    first = max(CONTEXT_STEPS, history.steps - SCORED_DAYS * DAY_STEPS)
    origins = np.arange(first, history.steps - HORIZON_STEPS, ISSUE_STEPS)
    critical, warn = _levels(name, history, values, first)
    file = (
        work / f"odds_{name}_{forecaster.hash}_{len(values)}x{len(origins)}.npz" if work else None
    )
    if file is None or not file.exists():
        made = _forecast_odds(history, values, critical, warn, origins, forecaster)
        if file is None:
            return OddsSet(name, values, critical, warn, origins, *made)
        part = file.with_name(f"part-{file.name}")
        arrays: dict[str, Any] = {f"templates_{j}": ranks for j, ranks in made[1].items()}
        np.savez_compressed(part, curve=made[0], **arrays)
        os.replace(part, file)
    stored = np.load(file)
    templates = {j: stored[f"templates_{j}"] for j in range(len(JUDGED))}
    return OddsSet(name, values, critical, warn, origins, stored["curve"], templates)


def _history(name: str, real: Path) -> History:
    if name == "mixed":
        return simulated(SIMULATED_SERVERS, SIMULATED_DAYS, SEED, SAMPLES)
    (source,) = [each for each in DATASETS if each.name == name]
    return as_named(read_set(real, name), source)


def _levels(name: str, history: History, values: Floats, first: int) -> tuple[Floats, Floats]:
    if name == "mixed":
        profiles = [PROFILE_NAMES[i] for i in history.profiles]
        bands = bands_of(profiles, [None] * len(profiles))
        return bands.critical, bands.warn
    known = np.where(np.isnan(values[:, :first]).all(axis=1, keepdims=True), 0, values[:, :first])
    critical = np.nanpercentile(known, LEVELS[name], axis=1)
    warn = np.nanpercentile(known, WARN_LEVEL, axis=1)
    gap = np.maximum(critical - warn, 0.02 * np.nanstd(known, axis=1) + 1e-3)
    # a series that stands still is never at its level
    still = np.nanmax(known, axis=1) <= critical
    critical = np.where(still, OUT_OF_REACH, critical)
    return critical, critical - np.where(still, 1.0, gap)


def _forecast_odds(
    history: History,
    values: Floats,
    critical: Floats,
    warn: Floats,
    origins: np.ndarray,
    forecaster: Forecaster,
) -> tuple[Floats, dict[int, Ranks]]:
    shape = (len(values), len(origins), len(JUDGED), HORIZON_STEPS)
    curve = np.full(shape, np.nan, np.float16)
    gap = np.maximum(critical - warn, 1e-9)
    kept: dict[int, list[tuple[Floats, Floats]]] = {j: [] for j in range(len(JUDGED))}
    for i, origin in enumerate(origins):
        start = datetime.fromtimestamp(history.start_s + (origin - CONTEXT_STEPS) * STEP_S, UTC)
        context = history.values[:, origin - CONTEXT_STEPS : origin]
        made = forecaster.predict(context, start, history.profiles).quantiles
        for j in range(len(JUDGED)):
            quantiles = judged_quantiles(made, j)
            curve[:, i, j] = exceedance(quantiles, critical[:, j, None], gap[:, j, None])
            if i % TEMPLATE_EVERY == 0 and i < len(origins) * (1 - HELD_OUT_SHARE) - HORIZON_STEPS:
                kept[j].append((quantiles, values[:, origin : origin + HORIZON_STEPS, j]))
    rng = np.random.default_rng(SEED)
    return curve, {
        j: rank_templates(
            np.concatenate([quantiles for quantiles, _ in cases]),
            np.concatenate([truth for _, truth in cases]),
            np.tile(gap[:, j], len(cases)),
            rng,
        )
        for j, cases in kept.items()
    }


@dataclass(frozen=True, slots=True)
class Judgement:
    """Reliability on the held-out days, by the name of the odds and minutes of the lead."""

    cases: Cases
    events: int
    rows: Mapping[tuple[str, int], Reliability]
    fits: Sequence[Fitted]


def judge(made: OddsSet) -> Judgement:
    """Fit on the first two thirds of a set, and judge each kind of odds on the rest."""
    cases = cases_of(made.values, made.critical, made.warn, _issued(made))
    fit_on, judge_on = halves(cases.origin)
    learned, held_out = cases.only(fit_on), cases.only(judge_on)
    trend = trend_head(learned)(held_out.features, held_out.metric)
    rows: dict[tuple[str, int], Reliability] = {}
    for i, minutes in enumerate(LEAD_MINUTES):
        raw, any_raw = held_out.raw[:, i], held_out.any_raw[:, i]
        columns = {
            "three in a row, raw": (raw, held_out.came),
            "three in a row, calibrated": (_calibrated(learned, "raw", i)(raw), held_out.came),
            "three in a row, trend head": (trend[:, i], held_out.came),
            "any step, highest step": (raw, held_out.any_came),
            "any step, paths": (any_raw, held_out.any_came),
            "any step, paths calibrated": (
                _calibrated(learned, "any_raw", i)(any_raw), held_out.any_came
            ),
        }  # fmt: skip
        for name, (odds, came) in columns.items():
            known = ~np.isnan(came[:, i]) & ~np.isnan(odds)
            rows[name, minutes] = reliability(
                odds[known], came[known, i], held_out.weight[known], held_out.block[known]
            )
    return Judgement(cases, held_out.events, rows, fit_odds(cases))


def _calibrated(learned: Cases, odds: str, i: int) -> Calibrator:
    came = learned.came if odds == "raw" else learned.any_came
    known = ~np.isnan(came[:, i]) & ~np.isnan(getattr(learned, odds)[:, i])
    raw = getattr(learned, odds)[known, i]
    return fit_calibrator(raw, came[known, i], learned.weight[known], learned.events)


def _issued(made: OddsSet) -> Issued:
    raw = odds_within(made.curve.astype(np.float32))
    any_raw = np.full(raw.shape, np.nan)
    for j, templates in made.templates.items():
        if len(templates) < LEAST_TEMPLATES:
            continue
        curve = made.curve[:, :, j].reshape(-1, HORIZON_STEPS).astype(np.float32)
        any_raw[:, :, j] = path_odds(curve, templates, ()).odds.reshape(
            raw.shape[0], -1, raw.shape[3]
        )
    return Issued(made.origins, raw, any_raw, np.ones(raw.shape[:3]))


def report(name: str, judgement: Judgement) -> str:
    """Return the tables of a set as Markdown."""
    cases = judgement.cases
    lines = [
        f"## {name}: {len(cases):,} cases, {cases.events} breaches, {judgement.events} held out",
        "", "| odds | lead, min | base rate | BSS | ECE |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for (odds, minutes), each in judgement.rows.items():
        lines.append(
            f"| {odds} | {minutes} | {each.base_rate:.4f} | {each.skill:.3f} | {each.ece:.4f} |"
        )
    lines += [
        "",
        "| trend head of | lead, min | events | Brier | bands | serves |",
        "|" + "---|" * 6,
    ]
    for fit in judgement.fits:
        if fit.kind == "trend" and fit.held_out:
            lines.append(
                f"| {fit.metric_group} | {fit.lead_minutes} | {fit.events} | "
                f"{fit.held_out.brier:.5f} | {fit.other:.5f} | {'yes' if fit.serves else 'no'} |"
            )
    lines += ["", "| lead, min | odds | said | came | 95 % band | blocks |", "|" + "---|" * 6]
    for (odds, minutes), each in judgement.rows.items():
        if minutes in SHOWN_MINUTES and odds in SHOWN_ODDS:
            lines += [
                f"| {minutes} | {odds} | {said:.3f} | {came:.3f} | {low:.3f}–{high:.3f} | {n:.0f} |"
                for said, came, low, high, n in zip(
                    each.said, each.came, each.came_low, each.came_high, each.bin_blocks,
                    strict=True,
                ) if n
            ]  # fmt: skip
    return "\n".join(lines)


def picture(judgements: Mapping[str, Judgement]) -> str:
    """Return an SVG of said against came, a row a set and a column a lead."""
    width, height = 40 + SIDE * len(SHOWN_MINUTES), 30 + SIDE * len(judgements)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for row, (name, judgement) in enumerate(judgements.items()):
        for column, minutes in enumerate(SHOWN_MINUTES):
            x, y = 40 + column * SIDE, 30 + row * SIDE
            parts.append(_panel(x, y, f"{name}, within {minutes} min", judgement, minutes))
    return "\n".join([*parts, "</svg>"])


def _panel(x: int, y: int, title: str, judgement: Judgement, minutes: int) -> str:
    side = SIDE - 60

    def at(said: float, came: float) -> tuple[float, float]:
        return round(x + said * side, 1), round(y + (1 - came) * side, 1)

    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    parts = [
        f'<text x="{x}" y="{y - 8}">{title}</text>',
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="none" stroke="#999"/>',
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#bbb" stroke-dasharray="4"/>',
        f'<text x="{x}" y="{y + side + 16}">said 0 to 1; came upwards</text>',
    ]
    for place, (odds, colour) in enumerate(SHOWN_ODDS.items()):
        each = judgement.rows[odds, minutes]
        seen = np.flatnonzero(each.bin_blocks > 0)
        points = [at(each.said[i], each.came[i]) for i in seen]
        line = " ".join(f"{px},{py}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for i, (px, py) in zip(seen, points, strict=True):
            low, high = at(0, each.came_low[i])[1], at(0, each.came_high[i])[1]
            parts.append(f'<line x1="{px}" y1="{low}" x2="{px}" y2="{high}" stroke="{colour}"/>')
            parts.append(f'<circle cx="{px}" cy="{py}" r="3" fill="{colour}"/>')
        parts.append(
            f'<text x="{x + side - 6}" y="{y + side - 40 + 15 * place}" fill="{colour}" '
            f'text-anchor="end">{odds}, '
            f"ECE {each.ece:.3f}</text>"
        )
    return "\n".join(parts)


def main() -> None:
    """Print the tables of each set, and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("sets", nargs="*", default=["mixed"], metavar="SET")
    parser.add_argument("--real", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    forecaster = Forecaster.open(arguments.model)
    judgements: dict[str, Judgement] = {}
    for name in arguments.sets:
        judgements[name] = judge(odds_set(name, arguments.real, forecaster, arguments.work))
        print(report(name, judgements[name]), flush=True)
    if arguments.svg:
        arguments.svg.write_text(picture(judgements))


if __name__ == "__main__":
    main()

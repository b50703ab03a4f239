"""Odds models: what the fleet's own outcomes taught about its odds, as fitted and as served."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import NAMES
from functions.rules.odds.calibrator import Calibrator
from functions.rules.odds.exceedance import Floats, clipped
from functions.rules.odds.paths import Ranks
from functions.rules.odds.reliability import Reliability
from functions.rules.odds.trend import TrendHead
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES
from storage.model.metrics import GROUPS

__all__ = [
    "ALL", "GROUP_OF", "Fitted", "OddsModels", "ServedOdds", "odds_models", "templates_from",
    "templates_text",
]  # fmt: skip

ALL: Final = "all"
# The group of each judged metric, in order.
GROUP_OF: Final = tuple(
    next(group for group, names in GROUPS.items() if name in names) for name in NAMES
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """One row of `odds_models`, less its time and the model of the forecasts.

    `held_out` says how it did on the last days, `other` is the Brier score there of what serves
    without it; both None without such days.
    """

    kind: str
    metric_group: str
    lead_minutes: int
    events: int
    cases: int
    held_out: Reliability | None = None
    other: float | None = None
    serves: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return its columns of the table `odds_models`."""
        row: dict[str, Any] = {
            "kind": self.kind, "metric_group": self.metric_group, "events": self.events,
            "lead_minutes": self.lead_minutes, "cases": self.cases, "serves": self.serves,
            "brier_other": _number(self.other), "parameters": None,
        }  # fmt: skip
        if self.parameters:
            row["parameters"] = json.dumps(self.parameters)
        if self.held_out is None:
            return row
        curves = {name: _numbers(getattr(self.held_out, name)) for name in _CURVES}
        scores = {
            name: _number(getattr(self.held_out, name)) for name in ("base_rate", "brier", "ece")
        }
        return row | curves | scores


_CURVES: Final = ("said", "came", "came_low", "came_high", "bin_blocks")


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _numbers(values: Floats) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


@dataclass(frozen=True, slots=True)
class ServedOdds:
    """Odds [n, judged, leads] as served, and where they are those of the trend [n, judged].

    `rate` are the same without a least odds: what is expected of each, to be summed.
    """

    rate: Floats
    trend: npt.NDArray[np.bool_]

    @property
    def p(self) -> Floats:
        """Return the odds as they are shown, within the least and most odds."""
        return clipped(self.rate)


@dataclass(frozen=True, slots=True)
class OddsModels:
    """What serves: nothing at first, then what was fitted last.

    `calibrators`, `any_calibrators` and `fleet` are by minutes of the lead, `templates` by judged
    metric, `trend_serves` has groups of metrics and leads. `fleet_scales` are what the breaches
    were of those that the odds made expect. `checked` is True from 30 breaches on.
    """

    checked: bool = False
    calibrators: Mapping[int, Calibrator] = field(default_factory=dict)
    fleet_scales: Mapping[int, float] = field(default_factory=dict)
    any_calibrators: Mapping[int, Calibrator] = field(default_factory=dict)
    fleet: Mapping[int, Calibrator] = field(default_factory=dict)
    templates: Mapping[int, Ranks] = field(default_factory=dict)
    trend: TrendHead | None = None
    trend_serves: frozenset[tuple[str, int]] = frozenset()

    def calibrated(self, raw: Floats) -> Floats:
        """Return raw odds [..., leads] after calibration, never falling with the lead."""
        return clipped(_by_lead(self.calibrators, raw))

    def any_calibrated(self, raw: Floats) -> Floats:
        """Return raw odds [..., leads] of any single step after calibration, likewise."""
        return clipped(_by_lead(self.any_calibrators, raw))

    def served(self, raw: Floats, features: Floats, in_breach: npt.NDArray[np.bool_]) -> ServedOdds:
        """Return the odds to serve of raw odds [n, judged, leads].

        `features` [n, judged, F] are those of the trend head. In a breach [n, judged] the raw odds
        stay: it is not foretold, it goes on, and no outcome tells how long.
        """
        rate = np.where(in_breach[..., None], raw, _by_lead(self.calibrators, raw))
        trend = np.zeros(rate.shape[:2], bool)
        if self.trend is None or not self.trend_serves:
            return ServedOdds(rate, trend)
        of_trend = self.trend.rate(
            features, np.broadcast_to(np.arange(len(NAMES)), features.shape[:2])
        )
        for j, group in enumerate(GROUP_OF):
            usable = ~in_breach[:, j] & ~np.isnan(of_trend[:, j]).any(axis=-1)
            for i, lead in enumerate(LEAD_MINUTES):
                if (group, lead) in self.trend_serves:
                    rate[usable, j, i] = of_trend[usable, j, i]
                    trend[usable, j] = True
        return ServedOdds(np.maximum.accumulate(rate, axis=-1), trend)


def _by_lead(calibrators: Mapping[int, Calibrator], raw: Floats) -> Floats:
    """Return the rates of raw odds [..., leads], never falling with the lead."""
    rate = np.array(raw, np.float64)
    for i, lead in enumerate(LEAD_MINUTES):
        if lead in calibrators:
            rate[..., i] = calibrators[lead].rate(raw[..., i])
    return np.maximum.accumulate(rate, axis=-1)


def odds_models(rows: Iterable[Mapping[str, Any]], checked_from: int) -> OddsModels:
    """Return what serves, of the newest rows of `odds_models` of each kind, group and lead."""
    kinds: dict[str, dict[int, Calibrator]] = {"calibration": {}, "any": {}, "fleet": {}}
    templates: dict[int, Ranks] = {}
    trend, trend_serves, events = None, set(), 0
    scales: dict[int, float] = {}
    for row in rows:
        kind, lead = row["kind"], row["lead_minutes"]
        fitted = json.loads(row["parameters"] or "{}")
        if kind == "calibration":
            events = max(events, row["events"] or 0)
        if kind == "fleet":
            scales[lead] = fitted["scale"]
        if kind in kinds and row["serves"]:
            kinds[kind][lead] = Calibrator(np.array(fitted["log_odds"]))
        elif kind == "paths":
            templates[NAMES.index(row["metric_group"])] = templates_from(fitted["templates"])
        elif kind == "trend" and row["metric_group"] == ALL:
            trend = TrendHead(*(np.array(fitted[name]) for name in TrendHead.__slots__))
        elif kind == "trend" and row["serves"]:
            trend_serves.add((row["metric_group"], lead))
    return OddsModels(
        events >= checked_from, kinds["calibration"], scales, kinds["any"], kinds["fleet"],
        templates, trend, frozenset(trend_serves),
    )  # fmt: skip


def templates_text(templates: Ranks) -> str:
    """Return templates [k, 96] as text."""
    return base64.b64encode(zlib.compress(templates.tobytes(), 9)).decode()


def templates_from(text: str) -> Ranks:
    """Return the templates [k, 96] of a text."""
    content = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(content, np.uint8).reshape(-1, HORIZON_STEPS)

"""Promotion: whether a candidate model may serve, by a paired comparison on the newest targets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.rules.evaluation.scoring import SeriesScores
from storage.model.metrics import GROUPS, METRIC_NAMES

__all__ = ["Comparison", "Verdict", "compare_models"]

_NEGLIGIBLE = math.log(1.005)  # half a percent is no loss that a user could see


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group of metrics: both losses relative to the seasonal naive forecast, and their ratio.

    `noise` is the standard error of the ratio's logarithm, over servers.
    """

    candidate: float
    serving: float
    noise: float
    series: int

    @property
    def change(self) -> float:
        """Return the logarithm of the ratio of the losses, candidate to serving."""
        return math.log(self.candidate / self.serving)

    @property
    def worse(self) -> bool:
        """Return True if the candidate is worse by more than noise and half a percent."""
        return self.change > max(self.noise, _NEGLIGIBLE)

    @property
    def better(self) -> bool:
        """Return True if the candidate is better by more than noise."""
        return self.change < -self.noise

    def __str__(self) -> str:
        return f"{self.candidate:.3f} against {self.serving:.3f}, ±{self.noise:.3f}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All metrics together and each group; `why` is a sentence for people."""

    promote: bool
    why: str
    overall: Comparison
    groups: Mapping[str, Comparison]

    def as_dict(self) -> dict[str, Any]:
        """Return by group, for the card: candidate loss, serving loss, noise, number of series."""
        compared = {"all metrics": self.overall, **self.groups}
        return {"promote": self.promote, "why": self.why} | {
            name: [round(c.candidate, 4), round(c.serving, 4), round(c.noise, 4), c.series]
            for name, c in compared.items()
        }


def compare_models(candidate: SeriesScores, serving: SeriesScores) -> Verdict:
    """Promote a candidate that is better overall, and in no group worse than serving or naive.

    Raises ValueError when no series was scored for both.
    """
    overall = _compared(candidate, serving, range(len(METRIC_NAMES)))
    if overall is None:
        raise ValueError("nothing moved in the newest hours: there is nothing to judge by")
    groups = {
        name: comparison
        for name, metrics in GROUPS.items()
        if (comparison := _compared(candidate, serving, [METRIC_NAMES.index(m) for m in metrics]))
    }
    worse = [name for name, c in groups.items() if c.worse]
    behind = [name for name, c in groups.items() if c.candidate >= 1]
    if not overall.better:
        why = f"not better than the serving model beyond noise ({overall})"
    elif worse:
        why = "worse than the serving model: " + _listed(worse, groups)
    elif behind:
        why = "worse than yesterday's value: " + _listed(behind, groups)
    else:
        why = f"better than the serving model ({overall}), worse in no group of metrics"
        return Verdict(True, why, overall, groups)
    return Verdict(False, why, overall, groups)


def _listed(names: list[str], groups: Mapping[str, Comparison]) -> str:
    return "; ".join(f"{name} ({groups[name]})" for name in names)


def _compared(
    candidate: SeriesScores, serving: SeriesScores, places: range | list[int]
) -> Comparison | None:
    ours, theirs = (np.log(scores.loss[:, places]) for scores in (candidate, serving))  # [S, m]
    compared = ~(np.isnan(ours) | np.isnan(theirs))
    if not compared.any():
        return None
    change = np.where(compared, ours - theirs, 0.0)
    return Comparison(
        math.exp(ours[compared].mean()),
        math.exp(theirs[compared].mean()),
        _noise(change, compared),
        int(compared.sum()),
    )


def _noise(change: NDArray[np.float64], compared: NDArray[np.bool_]) -> float:
    """Standard error of the mean over series; a server's series count as one observation."""
    count = compared.sum(1)  # [S]
    off = change.sum(1) - count * (change.sum() / compared.sum())
    servers = int((count > 0).sum())
    if servers < 2:
        return 0.01  # the noise of one server is unknown, and more than a percent
    return float(np.sqrt((off**2).sum() * servers / (servers - 1)) / compared.sum())

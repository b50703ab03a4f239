"""Promotion: may a candidate replace the serving model? A paired comparison on the newest week.

Both models forecast the same windows, 8 h of a server each. The noise of their ratio is the largest
of three: over servers, over windows, and over days, which are common shocks of a fleet.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS
from storage.model.metrics import GROUPS, METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES

__all__ = ["Blocks", "Comparison", "Trial", "Verdict", "compare_models"]

Floats = NDArray[np.float64]

_NEGLIGIBLE = math.log(1.005)  # half a percent is no loss that a user could see
_HARM = math.log(1.02)  # a group that is worse by more than this is harmed, whatever its noise
_SURE = 1.64  # standard errors: one-sided 95 %
_UNKNOWN_NOISE = 0.01  # at least, with one server: its noise is unknown, and more than a percent
_SMALLEST = 1e-9  # a series on which the naive forecast errs no more than this is left out
_BEST = 1e-3  # of the naive loss: one series that is nearly still must not decide a mean
_LEAST_SERVERS = 3  # of a profile: fewer are part of the whole only
_RESTLESS, _CALM = 1.5, 0.05  # a candidate may jump so many times as far as serving, or so far
_BLOCKS_A_DAY = CONTEXT_STEPS // HORIZON_STEPS


@dataclass(frozen=True, slots=True)
class Trial:
    """What a model made of the windows: its summed losses [n, 14], and how far it jumps.

    `jump` is the mean move of the median for one target between two forecasts 15 minutes apart, in
    widths of the 80 % band; NaN if unknown.
    """

    loss: Floats
    jump: float = math.nan


@dataclass(frozen=True, slots=True)
class Blocks:
    """The windows of S servers at `origins` times each, n = S * origins, server by server.

    `naive` [n, 14] are the losses of the value 24 h before on the same targets, `profile` [n] are
    places in PROFILE_NAMES, and `left_out` [n] marks windows in which somebody acted.
    """

    naive: Floats
    profile: NDArray[np.int64]
    left_out: NDArray[np.bool_]
    origins: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A group of series: both losses relative to the seasonal naive forecast, and their ratio.

    `noise` is the standard error of the ratio's logarithm.
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
        """Return True if the candidate is worse beyond noise and half a percent, or by 2 %."""
        return self.change > min(max(self.noise, _NEGLIGIBLE), _HARM)

    @property
    def better(self) -> bool:
        """Return True if the candidate is better by more than noise."""
        return self.change < -_SURE * self.noise

    def __str__(self) -> str:
        return f"{self.candidate:.3f} against {self.serving:.3f}, ±{self.noise:.3f}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All metrics together, each group and each profile; `why` is a sentence for people.

    `jumps` are those of candidate and serving, `windows` how many were judged and left out.
    """

    promote: bool
    why: str
    overall: Comparison
    groups: Mapping[str, Comparison]
    profiles: Mapping[str, Comparison]
    jumps: tuple[float, float]
    windows: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Return by group, for the card: candidate loss, serving loss, noise, number of series."""
        compared = {"all metrics": self.overall, **self.groups}
        compared |= {f"profile {name}": c for name, c in self.profiles.items()}
        known = [None if math.isnan(jump) else round(jump, 4) for jump in self.jumps]
        about = {"promote": self.promote, "why": self.why, "jump": known}
        about |= {"windows": self.windows[0], "left_out": self.windows[1]}
        return about | {
            name: [round(c.candidate, 4), round(c.serving, 4), round(c.noise, 4), c.series]
            for name, c in compared.items()
        }


def compare_models(candidate: Trial, serving: Trial, blocks: Blocks) -> Verdict:
    """Promote a candidate that is better overall, harms no group and no profile, and is as calm.

    No group of metrics may be worse than the value 24 h before either. Raises ValueError when no
    series was scored for both.
    """
    everyone = np.ones(len(blocks.profile) // blocks.origins, np.bool_)
    overall = _compared(candidate, serving, blocks, range(len(METRIC_NAMES)), everyone)
    left_out = int(blocks.left_out.sum())
    windows = (len(blocks.left_out) - left_out, left_out)
    if overall is None:
        raise ValueError(
            f"nothing moved in the newest hours, {left_out} of {len(blocks.left_out)} windows left "
            "out: there is nothing to judge by"
        )
    groups = {
        name: comparison
        for name, metrics in GROUPS.items()
        if (comparison := _compared(candidate, serving, blocks, _places(metrics), everyone))
    }
    profiles = _profiles(candidate, serving, blocks)
    jumps = (candidate.jump, serving.jump)
    against = _against(overall, groups, profiles, jumps)
    why = against or f"better than the serving model ({overall}), worse in no group of metrics"
    return Verdict(against is None, why, overall, groups, profiles, jumps, windows)


def _against(
    overall: Comparison,
    groups: Mapping[str, Comparison],
    profiles: Mapping[str, Comparison],
    jumps: tuple[float, float],
) -> str | None:
    """Return why the candidate is not promoted; None if nothing speaks against it."""
    worse = {name: c for name, c in groups.items() if c.worse}
    worse |= {f"profile {name}": c for name, c in profiles.items() if c.worse}
    behind = {name: c for name, c in groups.items() if c.candidate >= 1}
    candidate, serving = jumps
    if not overall.better:
        return f"not better than the serving model beyond noise ({overall})"
    if worse:
        return "worse than the serving model: " + _listed(worse)
    if behind:
        return "worse than yesterday's value: " + _listed(behind)
    if candidate > max(_RESTLESS * serving, _CALM):
        return (
            f"less stable: forecasts 15 minutes apart differ by {candidate:.2f} widths of the 80 % "
            f"band, those of the serving model by {serving:.2f}"
        )
    return None


def _listed(compared: Mapping[str, Comparison]) -> str:
    return "; ".join(f"{name} ({each})" for name, each in compared.items())


def _places(metrics: Iterable[str]) -> list[int]:
    return [METRIC_NAMES.index(metric) for metric in metrics]


def _profiles(candidate: Trial, serving: Trial, blocks: Blocks) -> dict[str, Comparison]:
    of_server = blocks.profile[:: blocks.origins]
    compared = {}
    for place in np.unique(of_server):
        members = of_server == place
        if int(members.sum()) >= _LEAST_SERVERS:
            each = _compared(candidate, serving, blocks, range(len(METRIC_NAMES)), members)
            if each is not None:
                compared[PROFILE_NAMES[int(place)]] = each
    return compared


def _compared(
    candidate: Trial,
    serving: Trial,
    blocks: Blocks,
    metrics: Iterable[int],
    servers: NDArray[np.bool_],
) -> Comparison | None:
    """Compare some metrics [m] of some servers [S]; None when nothing was scored."""
    ours, theirs, naive = (
        _judged(loss, blocks, metrics, servers)
        for loss in (candidate.loss, serving.loss, blocks.naive)
    )  # [S, origins, m]
    usual = naive.sum(1)  # [S, m]
    moves = usual > _SMALLEST
    if not moves.any():
        return None
    parts = [
        np.maximum(loss / np.where(moves, usual, 1.0)[:, None], _BEST / blocks.origins)
        for loss in (ours, theirs)
    ]
    sums = [part.sum(1) for part in parts]
    levels = [float(np.exp(np.log(total[moves]).mean())) for total in sums]
    shares = [part / total[:, None] for part, total in zip(parts, sums, strict=True)]
    change = np.where(moves, np.log(sums[0] / sums[1]), 0.0)
    of_window = np.where(moves[:, None], shares[0] - shares[1], 0.0).sum(2) / moves.sum()
    noise = max(_server_noise(change, moves), *_window_noise(of_window))
    return Comparison(levels[0], levels[1], noise, int(moves.sum()))


def _judged(
    loss: Floats, blocks: Blocks, metrics: Iterable[int], servers: NDArray[np.bool_]
) -> Floats:
    """Return losses [S, origins, m] with 0 in windows that are left out."""
    kept = np.where(blocks.left_out[:, None], 0.0, np.nan_to_num(loss[:, list(metrics)]))
    return np.asarray(kept.reshape(len(servers), blocks.origins, -1)[servers])


def _server_noise(change: Floats, compared: NDArray[np.bool_]) -> float:
    """Standard error of the mean over series; a server's series count as one observation."""
    count = compared.sum(1)  # [S]
    off = change.sum(1) - count * (change.sum() / compared.sum())
    servers = int((count > 0).sum())
    if servers < 2:
        return _UNKNOWN_NOISE
    return float(np.sqrt((off**2).sum() * servers / (servers - 1)) / compared.sum())


def _window_noise(influence: Floats) -> tuple[float, float]:
    """Standard errors from the influence of each window [S, origins]: over windows and over days.

    A day is the windows of all servers whose origins lie within 24 h, counted from the newest.
    """
    origins = influence.shape[1]
    day = np.arange(origins)[::-1] // _BLOCKS_A_DAY
    days = np.bincount(day, weights=influence.sum(0))
    count = len(days)
    of_days = math.sqrt((days**2).sum() * count / (count - 1)) if count > 1 else 0.0
    return math.sqrt((influence**2).sum()), of_days

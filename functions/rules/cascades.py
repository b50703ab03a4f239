"""Cascades: which server's trouble follows that of which other one, by the lag between the two."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from functions.rules.fleet_state import JUDGED
from storage.model.grid import STEP_MINUTES
from storage.model.metrics import METRIC_NAMES

__all__ = ["CASCADE_STEPS", "CascadeLink", "cascade_links"]

CASCADE_STEPS: Final = 288  # 24 h, in which the common daily shape is known
RECENT_STEPS: Final = 6  # a server in trouble now was so in the last half hour
EARLIER_STEPS: Final = 24  # and its cause was so within two hours
TROUBLE: Final = 5.0  # robust deviations from what is usual at this hour
LEAST_TROUBLED: Final = 2  # steps of trouble that are no single spike
HALF_LAGS: Final = 12  # lags up to 30 minutes, in half steps
QUIET_STEPS: Final = 12  # trouble that comes back within an hour is the same episode
LAG_SPREAD: Final = 3  # steps by which the lags of common episodes may differ from the best one
LEAST_CORRELATION: Final = 0.5
LEAST_LEAD: Final = 0.06  # by how much it fits better after its cause than before it
LEAST_EPISODES: Final = 2  # one common episode may be chance
LIMIT: Final = 0.01  # of the p-value after correction for the number of pairs and lags

_LARGEST = 8.0
_CALM = 4.0
_PLATEAU = 0.97  # quantile of a series that stands for the height of its episodes
_LOW, _HIGH = 0.5, 0.9  # of that height: below nothing, above all of an episode
_LEAST_GROUP = 5  # servers of a profile that show a common shape
_REST_SHARE = 0.02  # of a metric's warning level: the least deviation that counts as movement

_COLUMNS = [METRIC_NAMES.index(m.name) for m in JUDGED]
_SIGNS = np.array([-1.0 if m.bad_when == "low" else 1.0 for m in JUDGED])
_FLOORS = np.array([max(_REST_SHARE * m.levels.warn, 0.1) for m in JUDGED if m.levels])

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CascadeLink:
    """The server `downstream` follows `upstream`, both by their place in the fleet."""

    downstream: int
    upstream: int
    downstream_metric: str
    upstream_metric: str
    lag_minutes: float
    correlation: float
    p_value: float


def cascade_links(
    values: Floats, profiles: Sequence[str], downstream: Sequence[int]
) -> list[CascadeLink]:
    """Return the likeliest cause of the trouble of each server in `downstream` that has one.

    `values` [n, CASCADE_STEPS, 14] are 5-minute means, oldest first, NaN where missing; `profiles`
    [n] group servers that share a daily shape. A link is significant after correction for the
    number of pairs and lags, for which the common shape of profile and day is taken out.
    """
    readings = values[:, :, _COLUMNS] * _SIGNS
    levels = _standardized(readings)
    excess = _unusual(levels, profiles)
    troubled = np.asarray((excess > TROUBLE).any(axis=2))
    active = np.flatnonzero(troubled[:, -EARLIER_STEPS:].sum(axis=1) >= LEAST_TROUBLED)
    now = troubled[:, -RECENT_STEPS:].sum(axis=1) >= LEAST_TROUBLED
    followers = np.array([d for d in downstream if now[d]], np.intp)
    if not len(followers) or len(active) < 2:
        return []
    metric = _worst_metric(excess[active])
    shapes = _shapes(levels[active, :, metric])  # [active, steps]
    pairs = _Pairs(shapes, len(values))
    links = (_likeliest(pairs, active, metric, int(server)) for server in followers)
    return [link for link in links if link is not None]


def _standardized(readings: Floats) -> Floats:
    """Return readings [n, steps, judged] in robust deviations from their median; missing is 0."""
    distance = readings - _median(readings)
    deviation = 1.4826 * _median(np.abs(distance))
    levels: Floats = np.nan_to_num(distance / np.maximum(deviation, _FLOORS))
    return levels


def _median(values: Floats) -> Floats:
    """Return the lower median over the steps [n, 1, judged]; NaN for a series without values."""
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    middle: Floats = np.take_along_axis(
        np.sort(values, axis=1), np.maximum(count - 1, 0) // 2, axis=1
    )
    return middle


def _unusual(levels: Floats, profiles: Sequence[str]) -> Floats:
    """Return levels [n, steps, judged] less the shape of the day and that of the profile."""
    clipped = np.clip(levels, -_LARGEST, _LARGEST)
    result = np.empty_like(clipped)
    names = np.array(profiles)
    for name in np.unique(names):
        members = np.flatnonzero(names == name)
        shown = clipped[members if len(members) >= _LEAST_GROUP else slice(None)]
        for j in range(clipped.shape[2]):
            result[members, :, j] = _without_shape(clipped[members, :, j], shown[:, :, j])
    return result


def _without_shape(levels: Floats, group: Floats) -> Floats:
    """Return levels [k, steps] less what a day's waves and the median of the group explain.

    Steps of trouble neither make nor fit that shape.
    """
    common = np.median(np.where(np.abs(group) < _CALM, group, 0), axis=0)
    day = 2 * np.pi * np.arange(levels.shape[1]) / CASCADE_STEPS
    waves = [np.sin(day), np.cos(day), np.sin(2 * day), np.cos(2 * day)]
    basis = np.stack([np.ones_like(day), *waves, common], axis=1)  # [steps, 6]
    calm = (np.abs(levels) < _CALM).astype(np.float64)
    squares = np.einsum("kt,ti,tj->kij", calm, basis, basis) + 1e-6 * np.eye(basis.shape[1])
    moments = np.einsum("kt,kt,ti->ki", calm, levels, basis)
    weights = np.linalg.solve(squares, moments[..., None])[..., 0]
    fitted: Floats = levels - weights @ basis.T
    return fitted


def _worst_metric(excess: Floats) -> Ints:
    """Return for each server the judged metric that was longest in trouble [n]."""
    return np.asarray(np.maximum(excess - TROUBLE, 0).sum(axis=1).argmax(axis=1))


def _shapes(levels: Floats) -> Floats:
    """Return levels [n, steps] as 0 outside of episodes of trouble and 1 at their height."""
    height = np.maximum(np.quantile(levels, _PLATEAU, axis=1, keepdims=True), TROUBLE)
    return np.clip((levels / height - _LOW) / (_HIGH - _LOW), 0, 1)


def _lagged_correlations(shapes: Floats) -> Floats:
    """Return how each shape correlates with each other one that is behind by 0, 0.5, 1 … steps.

    [lags, leads, follows]; of the last but one lag on each is the mean of two.
    """
    whole = [_shifted(shapes, steps) for steps in range(HALF_LAGS // 2 + 2)]
    follows = _normalized(shapes)
    lagged = []
    for half in range(HALF_LAGS + 2):
        steps = half // 2
        leads = whole[steps] if half % 2 == 0 else (whole[steps] + whole[steps + 1]) / 2
        lagged.append(_normalized(leads) @ follows.T)
    return np.stack(lagged)


def _shifted(shapes: Floats, steps: int) -> Floats:
    result = np.zeros_like(shapes)
    result[:, steps:] = shapes[:, : shapes.shape[1] - steps]
    return result


def _normalized(shapes: Floats) -> Floats:
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    normalized: Floats = centred / np.where(norm > 0, norm, 1)
    return normalized


def _begins(shape: Floats) -> Ints:
    """Return the steps in which episodes of a shape [steps] begin, if that was seen."""
    trouble = np.flatnonzero(shape > 0)
    return trouble[np.diff(trouble, prepend=-1) > QUIET_STEPS]


def _effective_sizes(shapes: Floats) -> Floats:
    """Return the number of independent steps of each pair [n, n] (Bartlett's formula)."""
    steps = shapes.shape[1]
    spectrum = np.abs(np.fft.rfft(_normalized(shapes), 2 * steps, axis=1)) ** 2
    auto = np.fft.irfft(spectrum, axis=1)[:, 1 : steps // 4]  # [n, lags]
    weights = 1 - np.arange(1, steps // 4) / steps
    return np.asarray(steps / np.maximum(1 + 2 * (auto * weights) @ auto.T, 1))


class _Pairs:
    """Correlations of the shapes of n of the `servers` of a fleet, each with each."""

    def __init__(self, shapes: Floats, servers: int) -> None:
        correlations = _lagged_correlations(shapes)
        self.leads = (correlations[1:-1] + correlations[2:]) / 2  # [lags, leads, follows]
        self._shapes = shapes
        self._tests = servers * (servers - 1) * len(self.leads)
        self._sizes = _effective_sizes(shapes)

    def p_value(self, lead: int, follow: int, correlation: float) -> float:
        """Return the p-value of a correlation, corrected for all pairs of the fleet and lags."""
        size = max(float(self._sizes[lead, follow]) - 3, 0.0)
        z = float(np.arctanh(min(correlation, 0.9999)) * np.sqrt(size))
        return min(1.0, NormalDist().cdf(-z) * self._tests)

    def common_episodes(self, lead: int, follow: int, lag: float) -> int:
        """Return how many episodes of `lead` began about `lag` steps before one of `follow`."""
        begins, led = _begins(self._shapes[follow]), _begins(self._shapes[lead])
        distance = begins[None, :] - led[:, None]  # [episodes of lead, of follow]
        near = (distance >= 0) & (np.abs(distance - lag) <= LAG_SPREAD)
        return int(near.any(axis=1).sum())


def _likeliest(pairs: _Pairs, active: Ints, metric: Ints, server: int) -> CascadeLink | None:
    """Return the link to the cause that fits best; None if none is significant."""
    places = np.flatnonzero(active == server)
    if not len(places):
        return None
    follow = int(places[0])
    fits, mirrored = pairs.leads[:, :, follow], pairs.leads[:, follow, :]  # [lags, leads]
    lag = fits.argmax(axis=0)
    best = fits.max(axis=0)
    ahead = best - np.take_along_axis(mirrored, lag[None], axis=0)[0]
    best = np.where((best >= LEAST_CORRELATION) & (ahead >= LEAST_LEAD), best, 0)
    best[follow] = 0
    for lead in np.argsort(-best):
        correlation = float(best[lead])
        if not correlation:
            return None
        p_value, steps = pairs.p_value(int(lead), follow, correlation), (lag[lead] + 1.5) / 2
        if p_value <= LIMIT and pairs.common_episodes(int(lead), follow, steps) >= LEAST_EPISODES:
            return CascadeLink(
                server, int(active[lead]), JUDGED[metric[follow]].name, JUDGED[metric[lead]].name,
                STEP_MINUTES * float(steps), correlation, p_value,
            )  # fmt: skip
    return None

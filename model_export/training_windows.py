"""Draw training windows from histories, many at once, and vary them as fleets vary."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from storage.model.grid import CONTEXT_STEPS, MIN_CONTEXT_STEPS, STEP_MINUTES
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import WINDOW_STEPS, History, week_minute

__all__ = ["Corpus", "TrainingBatch", "TrainingWindows", "units"]

_DAY = 24 * 60 // STEP_MINUTES
_WEEK_MINUTES = 7 * 24 * 60
_GENERIC = PROFILE_NAMES.index("generic")
_PERCENT = np.array([m.highest == 100 for m in METRICS])
_MOVABLE = np.array([i for i, m in enumerate(METRICS) if m.kind != "counter"])


@dataclass(frozen=True, slots=True)
class Corpus:
    """A history to train on, and how much: `weight` is its share of windows among all corpora.

    `clock_known` is False where the time of day in the data is not the true one; `nameless` is
    True where which series lies in which metric's place means nothing.
    """

    name: str
    history: History
    weight: float = 1.0
    clock_known: bool = True
    licence: str = ""
    nameless: bool = False


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """B windows and the unit in which each series' error counts."""

    context: Tensor  # [B, 288, 14] NaN = missing
    target: Tensor  # [B, 96, 14] NaN = missing
    week_minute: Tensor  # [B]
    profile: Tensor  # [B] int64
    unit: Tensor  # [B, 14] raw units


@dataclass(frozen=True, slots=True)
class Variations:
    """How often a window is changed before it is learned from; each is a share of windows."""

    short: float = 0.15  # history cut to between one hour and a day
    gappy: float = 0.2  # one to three gaps of up to four hours
    blind: float = 0.35  # any number of metrics missing altogether: few fleets have all 14
    mirrored: float = 0.1  # a percentage turned into its rest; per metric
    other_clock: float = 0.25  # the fleet's clock moved, where it was known
    other_profile: float = 0.25  # the profile replaced by generic
    mixed: float = 0.2  # of nameless ones: laid over another one of the same corpus


def units(history: History) -> NDArray[np.float32]:
    """Mean absolute change over 24 h of each series [S, 14]: what a seasonal naive forecast errs.

    Errors in these units count alike for every series, as in the score by which a model is judged.
    """
    values = history.values
    lag = _DAY if history.steps > 2 * _DAY else max(history.steps // 2, 1)
    known = ~np.isnan(values)
    level = _mean(np.abs(values), known)  # [S, 14]
    both = known[:, lag:] & known[:, :-lag]
    moved = _mean(np.abs(values[:, lag:] - values[:, :-lag]), both)
    centre = _mean(values, known)[:, None]
    away = _mean(np.abs(values - centre), known)
    # a series that stood still whenever the day before is known must not drown the others
    floor = np.maximum(0.2 * away, 1e-3 * (level + 1e-3))
    return np.maximum(moved, floor).astype(np.float32)


class TrainingWindows(IterableDataset[TrainingBatch]):
    """An endless, seeded stream of batches drawn from several corpora, from the `first` on.

    Each batch has dice of its own, so that a stream taken up again in the middle is the same.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        batch: int,
        seed: int,
        variations: Variations | None = None,
        first: int = 0,
    ) -> None:
        short = [c.name for c in corpora if c.history.steps < WINDOW_STEPS]
        if short or not corpora:
            raise ValueError(
                f"a window needs {WINDOW_STEPS} steps (32 h); too short: {', '.join(short)}"
                if short
                else "no history to draw windows from"
            )
        self.corpora = tuple(corpora)
        self.batch = batch
        self.seed = seed
        self.first = first
        self.variations = variations or Variations()
        weights = np.array([c.weight for c in corpora])
        self._shares = weights / weights.sum()
        self._units = [units(c.history) for c in corpora]

    def __iter__(self) -> Iterator[TrainingBatch]:
        for place in itertools.count(self.first):
            yield self.draw(np.random.default_rng((self.seed, place)))

    def draw(self, random: np.random.Generator) -> TrainingBatch:
        """One batch; the same generator state gives the same batch."""
        counts = random.multinomial(self.batch, self._shares)
        parts = [self._from(i, int(n), random) for i, n in enumerate(counts) if n]
        windows, clocks, profiles, unit = (np.concatenate(p) for p in zip(*parts, strict=True))
        _mirror(windows, self.variations, random)
        context, target = windows[:, :CONTEXT_STEPS], windows[:, CONTEXT_STEPS:]
        _hide(context, self.variations, random)
        return TrainingBatch(
            torch.from_numpy(np.ascontiguousarray(context)),
            torch.from_numpy(np.ascontiguousarray(target)),
            torch.from_numpy(clocks),
            torch.from_numpy(profiles),
            torch.from_numpy(unit),
        )

    def _from(
        self, place: int, count: int, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        corpus, history = self.corpora[place], self.corpora[place].history
        rows = random.integers(len(history.servers), size=count)
        starts = random.integers(history.steps - WINDOW_STEPS + 1, size=count)
        steps = starts[:, None] + np.arange(WINDOW_STEPS)  # [n, 384]
        windows = history.values[rows[:, None], steps]  # [n, 384, 14]
        unit = self._units[place][rows]
        if corpus.nameless:
            _mix(windows, unit, self.variations, random)
            _move(windows, unit, random)
        clocks = week_minute(history.start_s + starts * (STEP_MINUTES * 60))
        moved = random.random(count) < (self.variations.other_clock if corpus.clock_known else 1.0)
        shift = random.integers(_WEEK_MINUTES // 60, size=count) * 60
        clocks = np.where(moved, (clocks + shift) % _WEEK_MINUTES, clocks).astype(np.float32)
        profiles = history.profiles[rows].copy()
        profiles[random.random(count) < self.variations.other_profile] = _GENERIC
        return windows, clocks, profiles, unit


def _mix(
    windows: NDArray[np.float32],
    unit: NDArray[np.float32],
    vary: Variations,
    random: np.random.Generator,
) -> None:
    """Lay some windows [n, 384, 14] over the one after them, weighted; their units go along."""
    share = random.uniform(0.2, 0.8, (len(windows), 1)).astype(np.float32)
    share[random.random(len(windows)) >= vary.mixed] = 1.0
    both = np.roll(windows, -1, axis=0) * (1 - share[:, None]) + windows * share[:, None]
    counter = ~np.isin(np.arange(len(METRICS)), _MOVABLE)
    alone = np.isnan(both) | (share[:, None] == 1.0) | counter
    np.copyto(windows, both, where=~alone)
    np.copyto(unit, np.roll(unit, -1, axis=0) * (1 - share) + unit * share, where=~alone.all(1))


def _move(
    windows: NDArray[np.float32], unit: NDArray[np.float32], random: np.random.Generator
) -> None:
    """Lay the series of each window [n, 384, 14] into other metrics' places; uptime stays."""
    places = np.tile(np.arange(len(METRICS)), (len(windows), 1))
    places[:, _MOVABLE] = random.permuted(places[:, _MOVABLE], axis=1)  # [n, 14]
    windows[:] = np.take_along_axis(windows, places[:, None], 2)
    unit[:] = np.take_along_axis(unit, places, 1)


def _mirror(windows: NDArray[np.float32], vary: Variations, random: np.random.Generator) -> None:
    chosen = (random.random((len(windows), len(METRICS))) < vary.mirrored) & _PERCENT  # [n, 14]
    mirrored = np.broadcast_to(chosen[:, None], windows.shape)
    np.copyto(windows, 100 - windows, where=mirrored)


def _hide(context: NDArray[np.float32], vary: Variations, random: np.random.Generator) -> None:
    """Make gaps, short histories and missing metrics in `context` [n, 288, 14]."""
    count = len(context)
    steps = np.arange(CONTEXT_STEPS)
    short = random.random(count) < vary.short
    cuts = random.integers(CONTEXT_STEPS - MIN_CONTEXT_STEPS + 1, size=count)
    hidden = short[:, None] & (steps < cuts[:, None])  # [n, 288]
    for _ in range(3):
        gappy = random.random(count) < vary.gappy / 2
        begins = random.integers(CONTEXT_STEPS, size=count)
        ends = begins + random.integers(1, 49, size=count)
        hidden |= gappy[:, None] & (steps >= begins[:, None]) & (steps < ends[:, None])
    some = random.random(count) < vary.blind
    missing = random.uniform(0, 0.95, (count, 1))  # share of metrics
    blind = some[:, None] & (random.random((count, len(METRICS))) < missing)  # [n, 14]
    context[hidden[:, :, None] | blind[:, None, :]] = np.nan


def _mean(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over time [S, 14] of `values` [S, T, 14] where `known`; 0 where nothing is."""
    total = np.where(known, values, 0).sum(1, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(1), 1))

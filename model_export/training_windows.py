"""Training windows: seeded batches drawn from histories, augmented as fleets differ."""

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

__all__ = ["Augmentations", "Corpus", "TrainingBatch", "TrainingWindows", "units"]

_DAY = 24 * 60 // STEP_MINUTES
_WEEK_MINUTES = 7 * 24 * 60
_GENERIC = PROFILE_NAMES.index("generic")
_PERCENT = np.array([m.highest == 100 for m in METRICS])
_PERMUTED = np.array([i for i, m in enumerate(METRICS) if m.kind != "counter"])


@dataclass(frozen=True, slots=True)
class Corpus:
    """A history to train on; `weight` is its share of windows among all corpora.

    `clock_known` is False where the time of day in the data is not the true one, `nameless` is
    True where a series' metric name means nothing.
    """

    name: str
    history: History
    weight: float = 1.0
    clock_known: bool = True
    licence: str = ""
    nameless: bool = False


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """B windows, and the unit in which the errors of each series are measured."""

    context: Tensor  # [B, 288, 14] NaN = missing
    target: Tensor  # [B, 96, 14] NaN = missing
    week_minute: Tensor  # [B]
    profile: Tensor  # [B] int64
    unit: Tensor  # [B, 14] raw units


@dataclass(frozen=True, slots=True)
class Augmentations:
    """The share of windows to which each augmentation is applied."""

    short: float = 0.15  # history cut to between one hour and a day
    gappy: float = 0.2  # one to three gaps of up to four hours
    blind: float = 0.35  # any number of metrics missing throughout: few fleets have all 14
    mirrored: float = 0.1  # a percentage p becomes 100 - p; per metric
    other_clock: float = 0.25  # week_minute shifted, where it is known
    other_profile: float = 0.25  # profile replaced by generic
    mixed: float = 0.2  # mixed with another window of the same nameless corpus


def units(history: History) -> NDArray[np.float32]:
    """Return the mean absolute change over 24 h of each series, [S, 14], in raw units.

    That is the mean error of a seasonal naive forecast. Errors in these units weigh all series
    equally, as the score of a model does.
    """
    values = history.values
    lag = _DAY if history.steps > 2 * _DAY else max(history.steps // 2, 1)
    known = ~np.isnan(values)
    level = _mean(np.abs(values), known)  # [S, 14]
    both = known[:, lag:] & known[:, :-lag]
    change = _mean(np.abs(values[:, lag:] - values[:, :-lag]), both)
    centre = _mean(values, known)[:, None]
    deviation = _mean(np.abs(values - centre), known)
    # a series that was constant wherever the day before is known must not dominate the others
    floor = np.maximum(0.2 * deviation, 1e-3 * (level + 1e-3))
    return np.maximum(change, floor).astype(np.float32)


class TrainingWindows(IterableDataset[TrainingBatch]):
    """An endless, seeded stream of batches from several corpora, beginning with number `first`.

    Each batch has its own random generator, so a stream can be resumed at any batch. Raise
    ValueError if there is no corpus, or one is shorter than a window.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        batch: int,
        seed: int,
        augmentations: Augmentations | None = None,
        first: int = 0,
    ) -> None:
        short = [c.name for c in corpora if c.history.steps < WINDOW_STEPS]
        if short or not corpora:
            raise ValueError(
                f"a window needs {WINDOW_STEPS} steps (32 h); too short: {', '.join(short)}"
                if short
                else "there is no history to draw windows from: pass at least one corpus"
            )
        self.corpora = tuple(corpora)
        self.batch = batch
        self.seed = seed
        self.first = first
        self.augmentations = augmentations or Augmentations()
        weights = np.array([c.weight for c in corpora])
        self._shares = weights / weights.sum()
        self._units = [units(c.history) for c in corpora]

    def __iter__(self) -> Iterator[TrainingBatch]:
        for number in itertools.count(self.first):
            yield self.draw(np.random.default_rng((self.seed, number)))

    def draw(self, rng: np.random.Generator) -> TrainingBatch:
        """Return one batch; the same generator state gives the same batch."""
        counts = rng.multinomial(self.batch, self._shares)
        parts = [self._draw_from(i, int(n), rng) for i, n in enumerate(counts) if n]
        windows, clocks, profiles, unit = (np.concatenate(p) for p in zip(*parts, strict=True))
        _mirror_percentages(windows, self.augmentations, rng)
        context, target = windows[:, :CONTEXT_STEPS], windows[:, CONTEXT_STEPS:]
        _hide_readings(context, self.augmentations, rng)
        return TrainingBatch(
            torch.from_numpy(np.ascontiguousarray(context)),
            torch.from_numpy(np.ascontiguousarray(target)),
            torch.from_numpy(clocks),
            torch.from_numpy(profiles),
            torch.from_numpy(unit),
        )

    def _draw_from(
        self, index: int, count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        corpus, history = self.corpora[index], self.corpora[index].history
        rows = rng.integers(len(history.servers), size=count)
        starts = rng.integers(history.steps - WINDOW_STEPS + 1, size=count)
        steps = starts[:, None] + np.arange(WINDOW_STEPS)  # [n, 384]
        windows = history.values[rows[:, None], steps]  # [n, 384, 14]
        unit = self._units[index][rows]
        if corpus.nameless:
            _mix_windows(windows, unit, self.augmentations, rng)
            _permute_metrics(windows, unit, rng)
        clocks = week_minute(history.start_s + starts * (STEP_MINUTES * 60))
        shifts = self.augmentations.other_clock if corpus.clock_known else 1.0
        shifted = rng.random(count) < shifts
        shift = rng.integers(_WEEK_MINUTES // 60, size=count) * 60
        clocks = np.where(shifted, (clocks + shift) % _WEEK_MINUTES, clocks).astype(np.float32)
        profiles = history.profiles[rows].copy()
        profiles[rng.random(count) < self.augmentations.other_profile] = _GENERIC
        return windows, clocks, profiles, unit


def _mix_windows(
    windows: NDArray[np.float32],
    unit: NDArray[np.float32],
    augment: Augmentations,
    rng: np.random.Generator,
) -> None:
    """Mix some windows [n, 384, 14] with the next one by a random weight, and so their units."""
    share = rng.uniform(0.2, 0.8, (len(windows), 1)).astype(np.float32)
    share[rng.random(len(windows)) >= augment.mixed] = 1.0
    both = np.roll(windows, -1, axis=0) * (1 - share[:, None]) + windows * share[:, None]
    counter = ~np.isin(np.arange(len(METRICS)), _PERMUTED)
    unmixed = np.isnan(both) | (share[:, None] == 1.0) | counter
    np.copyto(windows, both, where=~unmixed)
    np.copyto(unit, np.roll(unit, -1, axis=0) * (1 - share) + unit * share, where=~unmixed.all(1))


def _permute_metrics(
    windows: NDArray[np.float32], unit: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Permute the metrics of each window [n, 384, 14] and their units; counters stay."""
    order = np.tile(np.arange(len(METRICS)), (len(windows), 1))
    order[:, _PERMUTED] = rng.permuted(order[:, _PERMUTED], axis=1)  # [n, 14]
    windows[:] = np.take_along_axis(windows, order[:, None], 2)
    unit[:] = np.take_along_axis(unit, order, 1)


def _mirror_percentages(
    windows: NDArray[np.float32], augment: Augmentations, rng: np.random.Generator
) -> None:
    chosen = (rng.random((len(windows), len(METRICS))) < augment.mirrored) & _PERCENT  # [n, 14]
    mirrored = np.broadcast_to(chosen[:, None], windows.shape)
    np.copyto(windows, 100 - windows, where=mirrored)


def _hide_readings(
    context: NDArray[np.float32], augment: Augmentations, rng: np.random.Generator
) -> None:
    """Remove readings from `context` [n, 288, 14]: gaps, short histories, whole metrics."""
    count = len(context)
    steps = np.arange(CONTEXT_STEPS)
    short = rng.random(count) < augment.short
    cuts = rng.integers(CONTEXT_STEPS - MIN_CONTEXT_STEPS + 1, size=count)
    hidden = short[:, None] & (steps < cuts[:, None])  # [n, 288]
    for _ in range(3):
        gappy = rng.random(count) < augment.gappy / 2
        begins = rng.integers(CONTEXT_STEPS, size=count)
        ends = begins + rng.integers(1, 49, size=count)
        hidden |= gappy[:, None] & (steps >= begins[:, None]) & (steps < ends[:, None])
    some = rng.random(count) < augment.blind
    missing = rng.uniform(0, 0.95, (count, 1))  # share of metrics
    blind = some[:, None] & (rng.random((count, len(METRICS))) < missing)  # [n, 14]
    context[hidden[:, :, None] | blind[:, None, :]] = np.nan


def _mean(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean over time [S, 14] of `values` [S, T, 14] where `known`, 0 without any."""
    total = np.where(known, values, 0).sum(1, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(1), 1))

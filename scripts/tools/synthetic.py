"""Synthetic fleets: series that are random mixtures of what servers' series are made of.

The public datasets are few and small, and they and the simulator lack variety. These fleets add
it: daily profiles of many forms, noise with short and long memory, periodic jobs, bursts, level
shifts and sawtooth patterns. A model that has seen many mixtures generalises to unknown fleets.
"""

import numpy as np
from numpy.typing import NDArray

from storage.model.grid import STEP_MINUTES
from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import History

__all__ = ["synthetic_fleet"]

_DAY = 24 * 60 // STEP_MINUTES
_TOP = 80.0  # the 99.5th percentile of a series: room above it to rise
_START_S = 1_577_836_800  # 2020-01-01, as in the public datasets, whose times are made up too

Random = np.random.Generator
Series = NDArray[np.float64]  # [N, T]


def synthetic_fleet(servers: int, days: int, seed: int) -> History:
    """Return `days` of `servers` servers with 14 partly correlated metrics each, without gaps."""
    random = np.random.default_rng(seed)
    steps = days * _DAY
    own = _mixture(servers * len(METRICS), steps, random)
    shared = np.repeat(_mixture(servers, steps, random), len(METRICS), axis=0)
    tied = random.beta(0.5, 1.0, (len(own), 1))  # most metrics are independent, some follow others
    values = _skewed(own * (1 - tied) + shared * tied, random)
    values = _scaled(values, random).reshape(servers, len(METRICS), steps).transpose(0, 2, 1)
    days_up = random.uniform(0, 300, (servers, 1)) + np.arange(steps) / _DAY
    for place, metric in enumerate(METRICS):
        if metric.kind == "counter":
            values[..., place] = days_up
    generic = np.full(servers, PROFILE_NAMES.index("generic"), np.int64)
    names = tuple(f"synthetic{i:03}" for i in range(servers))
    return History(names, generic, _START_S, np.ascontiguousarray(values, np.float32))


def _mixture(count: int, steps: int, random: Random) -> Series:
    """Return `count` series, each a sum of parts with random weights, most of them small."""
    day = _daily(count, steps, random)
    noise = _coloured(count, steps, random)
    busy = np.exp(0.5 * random.normal(size=(count, 1)) * day)  # noise that grows with the load
    parts = [
        (day, 0.75), (noise * busy, 0.9), (_coloured(count, steps, random), 0.4),
        (_bursts(count, steps, random), 0.3), (_jobs(count, steps, random), 0.3),
        (_levels(count, steps, random), 0.25), (_filling(count, steps, random), 0.1),
    ]  # fmt: skip
    total = np.zeros((count, steps))
    for part, share in parts:
        chosen = random.random((count, 1)) < share
        weight = np.exp(0.8 * random.normal(size=(count, 1))) * chosen
        total += weight * part / np.maximum(part.std(1, keepdims=True), 1e-6)
    return total


def _daily(count: int, steps: int, random: Random) -> Series:
    """A daily profile of a few harmonics, sharpened or flattened, weaker on weekends."""
    turns = np.arange(1, 9)
    size = random.normal(size=(count, 8)) / turns ** random.uniform(0.7, 2.5, (count, 1))
    angle = 2 * np.pi * np.arange(_DAY)[:, None] * turns / _DAY  # [288, 8]
    phase = random.uniform(0, 2 * np.pi, (count, 8))
    form = np.einsum("nk,nkt->nt", size, np.cos(angle.T + phase[..., None]))  # [N, 288]
    form /= form.std(1, keepdims=True)
    form = np.sinh(form * (sharp := random.uniform(0.1, 1.5, (count, 1)))) / sharp
    days = -(-steps // _DAY)
    repeated = np.tile(form, days)[:, :steps]
    weekday = np.repeat((np.arange(days) % 7 >= 5), _DAY)[:steps]
    rest = np.where(random.random((count, 1)) < 0.4, random.uniform(0, 1, (count, 1)), 1.0)
    drift = np.exp(0.1 * random.normal(size=(count, days)))  # no two days are quite alike
    daily = np.repeat(drift, _DAY, axis=1)[:, :steps]
    return np.asarray(repeated * np.where(weekday, rest, 1.0) * daily)


def _coloured(count: int, steps: int, random: Random) -> Series:
    """Coloured noise with a correlation time between one step and some days."""
    frequency = np.fft.rfftfreq(steps)
    corner = 10 ** random.uniform(-3.3, -0.3, (count, 1))
    steep = random.uniform(0.5, 1.2, (count, 1))
    spectrum = (1 + (frequency / corner) ** 2) ** (-steep)
    waves = random.normal(size=(2, count, len(frequency)))
    return np.asarray(np.fft.irfft((waves[0] + 1j * waves[1]) * spectrum**0.5, steps))


def _bursts(count: int, steps: int, random: Random) -> Series:
    """Rare jumps of many sizes that decay within minutes or hours."""
    rate = 10 ** random.uniform(-3, -1.2, (count, 1))
    sizes = np.exp(random.normal(size=(count, steps)))
    jumps = np.where(random.random((count, steps)) < rate, sizes, 0.0)
    return _decaying(jumps, 10 ** random.uniform(-0.3, 1.6, (count, 1)))


def _decaying(jumps: Series, memory: Series) -> Series:
    """`jumps` convolved with an exponential of `memory` steps."""
    steps = jumps.shape[1]
    kernel = np.exp(-np.arange(steps) / memory)
    longer = 2 * steps
    spectrum = np.fft.rfft(jumps, longer) * np.fft.rfft(kernel, longer)
    return np.asarray(np.fft.irfft(spectrum, longer)[:, :steps])


def _jobs(count: int, steps: int, random: Random) -> Series:
    """A periodic job, every 30 minutes to every day, with a different strength each time."""
    period = random.choice([6, 12, 24, 72, 144, 288, 288], (count, 1))
    length = 1 + (period * random.beta(1, 5, (count, 1))).astype(int)
    place = np.arange(steps) + random.integers(288, size=(count, 1))
    running = place % period < length
    strength = np.exp(0.3 * random.normal(size=(count, steps // 6 + 1)))
    runs = (place // period) % strength.shape[1]
    return np.asarray(running * np.take_along_axis(strength, runs, 1))


def _levels(count: int, steps: int, random: Random) -> Series:
    """Shifts between two to five levels that last hours or days."""
    rate = 10 ** random.uniform(-3.5, -1.8, (count, 1))
    visits = (random.random((count, steps)) < rate).cumsum(1)
    heights = random.normal(size=(count, 5))
    return np.take_along_axis(heights, visits * 7 % random.integers(2, 6, (count, 1)), 1)


def _filling(count: int, steps: int, random: Random) -> Series:
    """A sawtooth: something fills up and is emptied."""
    period = 10 ** random.uniform(1.5, 3.5, (count, 1))
    return np.asarray((np.arange(steps) / period + random.random((count, 1))) % 1.0)


def _skewed(values: Series, random: Random) -> Series:
    """Some as they are, some with a long tail, some clipped at a floor, some quantised."""
    z = (values - values.mean(1, keepdims=True)) / np.maximum(values.std(1, keepdims=True), 1e-6)
    kind = random.random((len(z), 1))
    z = np.where(kind < 0.35, np.exp(random.uniform(0.3, 1.2, (len(z), 1)) * np.clip(z, -6, 6)), z)
    floor = random.normal(size=(len(z), 1)) - 0.5
    z = np.where((kind > 0.35) & (kind < 0.5), np.maximum(z, floor), z)
    coarse = 10 ** random.uniform(-1.0, 0.3, (len(z), 1))
    return np.asarray(np.where(random.random((len(z), 1)) < 0.15, np.round(z / coarse) * coarse, z))


def _scaled(values: Series, random: Random) -> Series:
    """Scale to between a random floor and the top of the range, as percentages are."""
    low, high = np.quantile(values, [0.001, 0.995], axis=1)[..., None]
    floor = np.where(random.random((len(values), 1)) < 0.5, 0.0, random.uniform(0, 70, low.shape))
    share = (values - low) / np.maximum(high - low, 1e-6)
    return np.asarray(np.clip(floor + share * (_TOP - floor), 0.0, 100.0))

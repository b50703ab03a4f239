"""AR(1) noise for any time without a state: a weighted sum of white noise at 5-minute knots."""

from collections.abc import Sequence

import numpy as np

from functions.simulator.rng import Floats, Ints, Keys, keyed, normal

__all__ = ["SETTLED_SECONDS", "ar_noise"]

_PHI = np.float32(0.85)  # per knot
_KNOT_SECONDS = 300
_MEMORY = 24  # knots in the sum; the rest of the AR(1) process is 2 % of a deviation
_FAST = np.float32(0.2)  # deviation of the white noise that each sample adds
_SLOW, _QUICK = 200, 201

SETTLED_SECONDS = _MEMORY * _KNOT_SECONDS

_POWERS = _PHI ** np.arange(_MEMORY, dtype=np.float32)
_WEIGHTS: Floats = _POWERS / np.sqrt(np.sum(_POWERS**2))


def ar_noise(keys: Keys, timestamps: Ints, names: Sequence[str]) -> dict[str, Floats]:
    """Return for each name noise of mean 0 and deviation about 1, float32 [keys, timestamps].

    `timestamps` are ascending epoch seconds.
    """
    knots = timestamps // _KNOT_SECONDS
    first = int(knots[0])
    after = ((timestamps - knots * _KNOT_SECONDS) / _KNOT_SECONDS).astype(np.float32)
    count = int(knots[-1]) - first + 2
    noise = {}
    for channel, name in enumerate(names):
        slow = _knots(keyed(keys, _SLOW, channel), first, count)
        quick = normal(keyed(keyed(keys, _QUICK, channel)[:, None], timestamps))
        before = slow[:, knots - first]
        between = before + after * (slow[:, knots - first + 1] - before)
        noise[name] = between + _FAST * quick
    return noise


def _knots(keys: Keys, first: int, count: int) -> Floats:
    """The AR(1) process at `count` knots from `first` on, [keys, count]."""
    steps = np.arange(first - _MEMORY + 1, first + count, dtype=np.int64)
    white = normal(keyed(keys[:, None], steps))
    slow = np.zeros((len(keys), count), dtype=np.float32)
    for lag, weight in enumerate(_WEIGHTS):
        slow += weight * white[:, _MEMORY - 1 - lag : _MEMORY - 1 - lag + count]
    return slow

"""Stateless random numbers: each is a hash of its purpose, so that all windows agree."""

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Keys", "keyed", "keys_of", "normal", "uniform"]

Keys: TypeAlias = NDArray[np.uint64]
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
_EVERY_OTHER_16_BITS = np.uint64(0x0000FFFF0000FFFF)


def keys_of(names: Iterable[str], seed: int) -> Keys:
    """Return one key per name, uint64 [names]; another seed gives unrelated keys."""
    salt = (seed % (1 << 64)).to_bytes(8, "little")
    digests = b"".join(
        hashlib.blake2b(name.encode(), digest_size=8, salt=salt).digest() for name in names
    )
    return np.frombuffer(digests, dtype=np.uint64)


def keyed(keys: Keys, *counters: int | Ints) -> Keys:
    """Return the keys of `counters` under `keys`, which is not a scalar; the shapes broadcast."""
    for counter in counters:
        keys = _mix(keys + _spread(counter))
    return keys


def uniform(keys: Keys, *counters: int | Ints) -> NDArray[np.float64]:
    """Return float64 numbers in [0, 1), one for each of `keyed(keys, *counters)`."""
    return (keyed(keys, *counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(keys: Keys) -> Floats:
    """Return float32 numbers of mean 0 and deviation 1, within ±3.46: sums of 4 uniform ones."""
    pairs = (keys & _EVERY_OTHER_16_BITS) + ((keys >> np.uint64(16)) & _EVERY_OTHER_16_BITS)
    total = (pairs + (pairs >> np.uint64(32))) & np.uint64(0x7FFFF)
    centred: Floats = total.astype(np.float32) - np.float32(131070)
    return centred * np.float32(1 / 37837.2)


def _spread(counter: int | Ints) -> np.uint64 | Keys:
    if isinstance(counter, int):
        return np.uint64((counter + 1) * _GOLDEN & _WORD)
    return (counter + 1).astype(np.uint64) * np.uint64(_GOLDEN)


def _mix(keys: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))

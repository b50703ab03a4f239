"""Small histories of fleets, for tests that must take seconds."""

import numpy as np

from storage.model.metrics import METRICS
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import History

__all__ = ["MONDAY_S", "fleet"]

MONDAY_S = 1_767_571_200  # 2026-01-05 00:00 UTC


def fleet(servers: int = 3, days: int = 9, seed: int = 0) -> History:
    """Daily waves with noise, in every metric's valid range; uptime grows."""
    random = np.random.default_rng(seed)
    steps = np.arange(days * 288)
    wave = np.sin(2 * np.pi * steps / 288)[None, :, None]
    level = random.uniform(30, 60, (servers, 1, len(METRICS)))
    height = random.uniform(5, 20, (servers, 1, len(METRICS)))
    values = level + height * wave + random.normal(size=(servers, len(steps), len(METRICS)))
    values[..., -1] = 3 + steps / 288
    names = tuple(f"app{i:03d}" for i in range(servers))
    profiles = np.full(servers, PROFILE_NAMES.index("generic"), np.int64)
    return History(names, profiles, MONDAY_S, values.astype(np.float32))

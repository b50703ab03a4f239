"""Small histories and small networks for tests that must take seconds."""

import numpy as np
import torch

from model_export.history import History
from model_export.network import Forecaster, Shape
from storage.metrics import METRICS
from storage.profiles import PROFILE_NAMES

MONDAY_S = 1_767_571_200  # 2026-01-05 00:00 UTC
SMALL = Shape(
    hidden=8, heads=2, continuous=4, latent=2, own_hidden=8, own_latent=2, fusion=8, dropout=0.0
)


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


def small_network(seed: int = 0) -> Forecaster:
    """An untrained small network whose outputs have been shaken, so that every part counts."""
    torch.manual_seed(seed)
    network = Forecaster(SMALL).eval()
    torch.nn.init.normal_(network.fusion.out.weight, std=0.2)
    return network

"""Small networks, for tests that take seconds."""

import torch

from model_export.network import ForecastNetwork, Shape
from tests.storage.small_fleets import MONDAY_S, fleet

__all__ = ["MONDAY_S", "SMALL", "fleet", "small_network"]

SMALL = Shape(
    hidden=8, heads=2, continuous=4, latent=2, own_hidden=8, own_latent=2, fusion=8, dropout=0.0
)


def small_network(seed: int = 0) -> ForecastNetwork:
    """An untrained network with random output weights, so that every part has an effect."""
    torch.manual_seed(seed)
    network = ForecastNetwork(SMALL).eval()
    torch.nn.init.normal_(network.fusion.out.weight, std=0.2)
    return network

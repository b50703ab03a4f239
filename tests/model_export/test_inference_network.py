from dataclasses import replace

import numpy as np
import pytest
import torch

from model_export import inference_transformer
from model_export.inference_network import InferenceNetwork
from model_export.network import ForecastNetwork, Shape
from model_export.parity_check import PARITY_SIGMA, awkward_windows, spreads
from model_export.scaling import ranked, scale, squash
from storage.model.grid import CONTEXT_STEPS
from tests.model_export.small_networks import SMALL


def perturbed(shape: Shape) -> ForecastNetwork:
    """A network in which no parameter has its initial value, norms and masks included."""
    torch.manual_seed(1)
    network = ForecastNetwork(shape).eval()
    with torch.no_grad():
        for values in network.parameters():
            values.add_(torch.randn_like(values), alpha=0.1)
    network.widen(torch.rand(32, 14, 6) + 0.5)
    return network


@pytest.mark.parametrize(
    "shape",
    [
        SMALL,
        Shape(hidden=24, heads=3, continuous=6, latent=3, own_hidden=20, own_latent=5, fusion=12),
        replace(SMALL, transformer=False),
    ],
    ids=["small", "other sizes", "without the transformer"],
)
def test_the_inference_network_computes_what_the_trained_one_computes(shape: Shape) -> None:
    assert difference(perturbed(shape)) <= PARITY_SIGMA / 2


def test_with_fine_tables_the_inference_network_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = replace(inference_transformer.SIGNAL_RANGE, pieces=20_000)
    monkeypatch.setattr(inference_transformer, "SIGNAL_RANGE", fine)
    assert difference(perturbed(SMALL)) <= 5e-5


def test_a_table_covers_all_squashed_readings() -> None:
    spike = np.zeros(CONTEXT_STEPS, np.float32)
    spike[-1] = 1
    context = torch.from_numpy(np.repeat(spike[:, None], 14, axis=1)[None])
    farthest = squash(scale(context).bins).abs().max()
    low, high = inference_transformer.SIGNAL_RANGE.usual
    assert 0.5 * high < farthest <= high == -low


def difference(network: ForecastNetwork) -> float:
    """The largest difference between both networks on awkward windows, in σ."""
    windows = awkward_windows(24, 4)
    context, clock, profile = (
        torch.from_numpy(values)
        for values in (windows.context, windows.week_minute, windows.profile)
    )
    with torch.no_grad():
        expected = network(context, clock, profile).numpy()
        inference = InferenceNetwork(network).eval()
        in_order = torch.from_numpy(ranked(windows.context))
        actual = inference(context, in_order, clock, profile).numpy()
    assert (np.isnan(expected) == np.isnan(actual)).all()
    excess = np.abs(expected - actual) - np.spacing(np.abs(expected))
    return float(np.nanmax(excess / spreads(windows.context)[:, None, :, None]))


def test_equal_sizes_of_inputs_and_hidden_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="continuous and hidden are both 8"):
        InferenceNetwork(ForecastNetwork(replace(SMALL, continuous=8)))

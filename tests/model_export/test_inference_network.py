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


def shaken(shape: Shape) -> ForecastNetwork:
    """A network of which no part is still as it was made: norms, gates, masks and bands too."""
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
def test_the_serving_form_computes_what_the_network_computes(shape: Shape) -> None:
    assert difference(shaken(shape)) <= PARITY_SIGMA / 2


def test_but_for_its_tables_the_serving_form_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = replace(inference_transformer.SIGNALS, pieces=20_000)
    monkeypatch.setattr(inference_transformer, "SIGNALS", fine)
    assert difference(shaken(SMALL)) <= 5e-5


def test_a_table_ends_where_squashed_readings_end() -> None:
    alone = np.zeros(CONTEXT_STEPS, np.float32)
    alone[-1] = 1
    context = torch.from_numpy(np.repeat(alone[:, None], 14, axis=1)[None])
    farthest = squash(scale(context).bins).abs().max()
    low, high = inference_transformer.SIGNALS.usual
    assert 0.5 * high < farthest <= high == -low


def difference(network: ForecastNetwork) -> float:
    """The most that the two forms differ on windows that are hard to agree on, in σ."""
    windows = awkward_windows(24, 4)
    context, clock, profile = (
        torch.from_numpy(values)
        for values in (windows.context, windows.week_minute, windows.profile)
    )
    with torch.no_grad():
        expected = network(context, clock, profile).numpy()
        swift = InferenceNetwork(network).eval()
        found = swift(context, torch.from_numpy(ranked(windows.context)), clock, profile).numpy()
    assert (np.isnan(expected) == np.isnan(found)).all()
    beyond = np.abs(expected - found) - np.spacing(np.abs(expected))
    return float(np.nanmax(beyond / spreads(windows.context)[:, None, :, None]))


def test_an_equal_size_of_inputs_and_hidden_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="continuous and hidden are both 8"):
        InferenceNetwork(ForecastNetwork(replace(SMALL, continuous=8)))

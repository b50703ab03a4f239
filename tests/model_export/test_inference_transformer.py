import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_export.inference_transformer import (
    SHARE_RANGE,
    SIGNAL_RANGE,
    InferenceTransformer,
    InputRange,
)
from model_export.scaling import CONTEXT_BINS, HORIZON_BINS
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from tests.model_export.small_networks import SMALL, small_network

METRICS, OUTPUTS = len(METRIC_NAMES), len(METRIC_NAMES) * SMALL.latent


@pytest.fixture(scope="module")
def trained() -> Any:
    """A transformer in which no parameter has its initial value."""
    network = small_network().transformer
    with torch.no_grad():
        for values in network.parameters():
            values.add_(torch.randn(values.shape, generator=torch.manual_seed(2)), alpha=0.1)
    return network.eval()


def inputs(servers: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Past [19, 96, B], future [18, 32, B], static [14, B] and profile [B]."""
    generator = torch.manual_seed(servers)
    past = torch.rand(METRICS + 5, CONTEXT_BINS, servers, generator=generator) * 2 - 1
    past[METRICS] = past[METRICS].abs()  # the observed share
    future = torch.rand(METRICS + 4, HORIZON_BINS, servers, generator=generator) * 2 - 1
    static = torch.randint(0, 289, (METRICS, servers), generator=generator) / 288
    return past, future, static, torch.arange(servers) % len(PROFILE_NAMES)


def expected(trained: nn.Module, inputs: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """What pytorch-forecasting's transformer predicts, [B, 32, channels]."""
    past, future, static, profile = inputs
    servers = len(profile)
    shares = static.t()[:, None]
    unused = [torch.zeros(servers, bins, count) for bins, count in ((96, 14), (32, 15))]
    encoder = [past.permute(2, 1, 0), unused[0], shares.expand(-1, 96, -1)]
    decoder = [unused[1], future.permute(2, 1, 0), shares.expand(-1, 32, -1)]
    kinds, ones = profile[:, None, None], torch.ones_like(profile)
    prediction: Tensor = trained({
        "encoder_cont": torch.cat(encoder, -1), "decoder_cont": torch.cat(decoder, -1),
        "encoder_cat": kinds.expand(-1, 96, -1), "decoder_cat": kinds.expand(-1, 32, -1),
        "encoder_lengths": ones * 96, "decoder_lengths": ones * 32, "target_scale": shares,
    }).prediction  # fmt: skip
    return prediction


@pytest.mark.parametrize("servers", [1, 5])
def test_it_predicts_what_the_trained_transformer_predicts(trained: Any, servers: int) -> None:
    given = inputs(servers)
    inference = InferenceTransformer(trained, torch.arange(OUTPUTS)).eval()
    with torch.no_grad():
        difference = inference(*given).transpose(1, 2) - expected(trained, given)
    assert difference.shape == (servers, HORIZON_BINS, OUTPUTS)
    assert difference.abs().max() < 2e-3


def test_its_channels_come_in_the_given_order(trained: Any) -> None:
    given, order = inputs(2), torch.arange(OUTPUTS).flip(0)
    with torch.no_grad():
        plain = InferenceTransformer(trained, torch.arange(OUTPUTS)).eval()(*given)
        reordered = InferenceTransformer(trained, order).eval()(*given)
    assert torch.allclose(reordered, plain.flip(1), atol=1e-6)


def test_inputs_outside_the_tables_and_nan_do_not_leave_them(trained: Any) -> None:
    past, future, static, profile = inputs(2)
    past[0, :, 0], past[1, :, 0], past[2, :, 1] = 1e6, -1e6, math.nan
    inference = InferenceTransformer(trained, torch.arange(OUTPUTS)).eval()
    with torch.no_grad():
        prediction = inference(past, future, static, profile)
    assert prediction.shape == (2, OUTPUTS, HORIZON_BINS)
    assert torch.isfinite(prediction[0]).all()


def test_a_variable_has_its_own_range_or_the_usual_one() -> None:
    chosen = InputRange(4, (-2.0, 2.0), {"day_sin": (-1.0, 1.0)})
    assert (chosen.of("day_sin"), chosen.of("load_average")) == ((-1.0, 1.0), (-2.0, 2.0))
    assert SIGNAL_RANGE.of("observed_share") == SHARE_RANGE.of("share_load_average") == (0.0, 1.0)

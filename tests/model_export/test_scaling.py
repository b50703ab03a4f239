import numpy as np
import torch

from model_export.scaling import SPREAD_FLOOR, carry_forward, expansion, scale, squash
from storage.model.grid import QUANTILES

NAN = float("nan")


def window(fill: float = NAN) -> torch.Tensor:
    return torch.full((1, 288, 14), fill)


def test_quantiles_are_those_of_the_observed_steps_alone() -> None:
    context = window()
    context[0, ::3, 0] = torch.arange(96.0)
    scaled = scale(context)
    expected = np.quantile(np.arange(96.0), QUANTILES)
    quantiles = scaled.centre[0, 0] + scaled.quantiles[0, 0] * scaled.spread[0, 0]
    np.testing.assert_allclose(quantiles.numpy(), expected, rtol=1e-5)
    assert scaled.observed[0, 0] == 96


def test_a_flat_window_has_the_floor_as_its_spread() -> None:
    scaled = scale(window(50.0))
    assert torch.allclose(scaled.spread, torch.tensor(SPREAD_FLOOR * (50 + SPREAD_FLOOR)))


def test_a_missing_metric_is_all_zeros_without_nan() -> None:
    scaled = scale(window())
    assert not any(torch.isnan(part).any() for part in scaled)
    assert scaled.observed.sum() == 0


def test_bins_carry_the_last_value_over_a_gap_and_start_at_the_centre() -> None:
    context = window()
    context[0, 30:60, 0] = torch.linspace(0, 29, 30)
    scaled = scale(context)
    raw = scaled.centre[0, 0] + scaled.bins[0, 0] * scaled.spread[0, 0]
    assert torch.allclose(raw[:10], torch.tensor(14.5))  # before the first reading: the median
    assert torch.allclose(raw[20:], torch.tensor(28.0), atol=1e-4)  # the last bin's mean
    assert scaled.seen[0, 0].sum() == 10


def test_carry_forward_reaches_over_any_gap() -> None:
    values, present = torch.zeros(1, 96), torch.zeros(1, 96)
    values[0, 3], present[0, 3] = 7.0, 1.0
    assert carry_forward(values, present)[0].tolist() == [0.0] * 3 + [7.0] * 93


def test_the_newest_reading_is_the_last_before_a_gap() -> None:
    context = window()
    context[0, 100:120, 5] = torch.arange(20.0)
    scaled = scale(context)
    last = scaled.centre[0, 5] + scaled.last[0, 5] * scaled.spread[0, 5]
    assert torch.isclose(last, torch.tensor(19.0))


def test_expansion_keeps_a_straight_line_straight() -> None:
    steps = expansion() @ torch.arange(32.0)
    assert torch.allclose(steps[1:-1].diff(), torch.tensor(1 / 3), atol=1e-5)


def test_squash_keeps_sign_and_order() -> None:
    values = torch.tensor([-1000.0, -1.0, 0.0, 2.0, 1e6])
    assert (squash(values).diff() > 0).all()
    assert squash(-values).equal(-squash(values))

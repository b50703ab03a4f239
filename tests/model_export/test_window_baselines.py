import pytest
import torch
from torch import Tensor

from model_export.scaling import Scaled, scale
from model_export.window_baselines import (
    BETWEEN_LAGS,
    GATES,
    SMOOTHING,
    STEP_WIDTHS,
    WindowBaselines,
    mean_moves,
    window_baselines,
)

CONTEXT, YESTERDAY, LAST = range(GATES)


def window(first_metric: Tensor) -> Scaled:
    """A scaled window whose first metric has the given 288 readings, the others 50."""
    context = torch.full((1, 288, 14), 50.0)
    context[0, :, 0] = first_metric
    return scale(context)


def raw(scaled: Scaled, values: Tensor) -> Tensor:
    """Values of the first metric in raw units."""
    return scaled.centre[0, 0] + values * scaled.spread[0, 0]


def test_each_baseline_forecasts_what_its_name_says() -> None:
    scaled = window(torch.arange(288.0))
    medians = raw(scaled, window_baselines(scaled).medians[0, :, 0])  # [32, 3]
    assert torch.allclose(medians[:, CONTEXT], torch.tensor(143.5))
    assert torch.allclose(medians[:, LAST], torch.tensor(286.0), atol=1e-3)  # mean of the last bin
    inner = slice(2, None)  # the first bins have fewer neighbours
    assert torch.allclose(medians[inner, YESTERDAY], torch.arange(32.0)[inner] * 3 + 1, atol=1e-3)


def test_yesterday_is_averaged_over_75_minutes() -> None:
    assert torch.allclose(SMOOTHING.sum(0), torch.tensor(1.0))
    assert ((SMOOTHING > 0).sum(0)[2:] == 5).all()
    assert SMOOTHING[10, 10] == pytest.approx(0.2)


def test_mean_moves_are_those_of_a_line_with_the_slope_1() -> None:
    moves = mean_moves(torch.arange(96.0).expand(1, 14, -1))
    assert moves[0, 0].tolist() == list(WindowBaselines.LAGS)


def test_moves_between_two_lags_are_interpolated() -> None:
    moves = torch.tensor(WindowBaselines.LAGS, dtype=torch.float32) @ BETWEEN_LAGS
    expected = torch.arange(1.0, 33).clamp(max=31)  # 31 is the longest lag
    assert torch.allclose(moves, expected)


def test_a_gate_of_1_selects_one_baseline() -> None:
    baselines = window_baselines(window(torch.rand(288, generator=torch.manual_seed(0))))
    for gate in range(GATES):
        gates = torch.zeros(1, 32, 14, GATES)
        gates[..., gate] = 1.0
        median, gaps = baselines.blend(gates)
        assert median[..., 0].equal(baselines.medians[..., gate])
        assert (gaps[:, :, 0] > 0).all()


def test_the_bands_of_the_last_value_grow_with_the_lead() -> None:
    baselines = window_baselines(window(torch.arange(288.0)))
    gates = torch.zeros(1, 32, 14, GATES)
    gates[..., LAST] = 1.0
    _, gaps = baselines.blend(gates)
    assert (gaps[0, :31, 0].diff(dim=0) > 0).all()
    assert torch.allclose(gaps[0, 0, 0] / gaps[0, 0, 0, 0], STEP_WIDTHS / STEP_WIDTHS[0])


def test_a_window_without_readings_gives_zeros() -> None:
    baselines = window_baselines(scale(torch.full((1, 288, 14), float("nan"))))
    assert not baselines.medians.any()
    assert not baselines.features.any()

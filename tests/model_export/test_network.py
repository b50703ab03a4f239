import math
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from model_export.network import ForecastNetwork, calendar
from model_export.parity_check import awkward_windows
from storage.model.metrics import METRIC_NAMES, METRICS
from tests.model_export.small_networks import SMALL, small_network


def forecast(network: ForecastNetwork, count: int = 24, seed: int = 3) -> tuple[Tensor, Tensor]:
    windows = awkward_windows(count, seed)
    context = torch.from_numpy(windows.context)
    clock, profile = torch.from_numpy(windows.week_minute), torch.from_numpy(windows.profile)
    with torch.no_grad():
        return context, cast(Tensor, network(context, clock, profile))


def test_quantiles_never_cross() -> None:
    _, quantiles = forecast(small_network())
    assert quantiles.shape == (24, 96, 14, 7)
    assert not (quantiles.diff(dim=-1) < 0).any()


def test_quantiles_stay_in_each_metrics_range() -> None:
    _, quantiles = forecast(small_network())
    for place, metric in enumerate(METRICS):
        values = quantiles[:, :, place]
        values = values[~torch.isnan(values)]
        assert values.min() >= metric.lowest
        assert metric.highest is None or values.max() <= metric.highest


def test_exactly_the_metrics_with_fewer_than_12_readings_abstain() -> None:
    context, quantiles = forecast(small_network(), 60)
    few = (~torch.isnan(context)).sum(1) < 12  # [n, 14]
    assert few.any()
    assert torch.isnan(quantiles).any(-1).any(1).equal(few)


def test_uptime_grows_by_a_day_per_day() -> None:
    network = small_network()
    context = torch.full((1, 288, 14), 50.0)
    context[0, :, -1] = 3 + torch.arange(288) / 288
    with torch.no_grad():
        quantiles = network(context, torch.zeros(1), torch.zeros(1, dtype=torch.long))
    uptime = quantiles[0, :, METRIC_NAMES.index("uptime_days"), 3]
    expected = 4 + torch.arange(96) / 288
    assert torch.allclose(uptime, expected, atol=0.02)


def test_a_forecast_does_not_depend_on_the_other_servers_of_its_batch() -> None:
    network = small_network()
    windows = awkward_windows(9, 5)
    context = torch.from_numpy(windows.context)
    clock, profile = torch.from_numpy(windows.week_minute), torch.from_numpy(windows.profile)
    with torch.no_grad():
        together = network(context, clock, profile)
        alone = network(context[4:5], clock[4:5], profile[4:5])
    np.testing.assert_allclose(together[4:5].numpy(), alone.numpy(), rtol=1e-4, atol=1e-4)


def test_a_change_of_units_scales_the_forecast_by_the_same_factor() -> None:
    network = small_network()
    context = torch.from_numpy(awkward_windows(6, 8).context).clamp(min=1.0)
    place = METRIC_NAMES.index("net_in_mb_s")
    clock, profile = torch.zeros(6), torch.zeros(6, dtype=torch.long)
    scaled = context.clone()
    scaled[..., place] *= 1000
    with torch.no_grad():
        small, large = network(context, clock, profile), network(scaled, clock, profile)
    assert torch.allclose(
        small[..., place, :] * 1000, large[..., place, :], rtol=1e-2, atol=10, equal_nan=True
    )


def test_a_change_of_one_metric_reaches_all_others_by_the_transformer() -> None:
    network = small_network()
    context = torch.from_numpy(awkward_windows(1, 0).context)
    clock, profile = torch.zeros(1), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        before = network(context, clock, profile)
        context[0, 200:, METRIC_NAMES.index("disk_usage_pct")] = 99.0
        after = network(context, clock, profile)
    moved = (before - after).abs().amax((0, 1, 3))
    assert (moved[torch.isfinite(moved)] > 0).all()


def test_without_the_transformer_other_metrics_do_not_matter() -> None:
    network = ForecastNetwork(replace(SMALL, transformer=False)).eval()
    context = torch.from_numpy(awkward_windows(1, 0).context)
    clock, profile = torch.zeros(1), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        before = network(context, clock, profile)
        context[0, 200:, METRIC_NAMES.index("disk_usage_pct")] = 99.0
        after = network(context, clock, profile)
    assert before[:, :, 0].equal(after[:, :, 0])


def test_the_calendar_has_the_periods_of_a_day_and_a_week() -> None:
    noon_thursday = torch.tensor([3 * 1440.0 + 720])
    signals = calendar(noon_thursday)[0, 0]
    assert torch.allclose(signals[:2], torch.tensor([0.0, -1.0]), atol=1e-5)
    angle = 2 * math.pi * 3.5 / 7
    assert torch.allclose(signals[2:], torch.tensor([math.sin(angle), math.cos(angle)]), atol=1e-5)


def test_widening_scales_bands_around_the_same_median() -> None:
    network = small_network()
    _, plain = forecast(network)
    network.widen(torch.tensor([1.0, 2.0, 1.0, 1.0, 2.0, 1.0]))
    _, wide = forecast(network)
    assert torch.equal(plain[..., 3].nan_to_num(), wide[..., 3].nan_to_num())
    assert (wide[..., 5] - wide[..., 1]).nanmean() > (plain[..., 5] - plain[..., 1]).nanmean()


def test_bands_are_widened_metric_by_metric_and_lead_by_lead() -> None:
    network = small_network()
    _, plain = forecast(network)
    factors = torch.ones(32, 14, 6)
    factors[16:, 4] = 2.0
    network.widen(factors)
    _, wide = forecast(network)
    moved = (wide != plain).any(-1) & ~torch.isnan(wide[..., 0])  # [B, 96, 14]
    assert moved[:, 49:, 4].any()
    moved[:, 47:, 4] = False  # the step before bin 16 lies between it and its neighbour
    assert not moved.any()


def test_all_buffers_follow_the_network_to_another_device() -> None:
    network = ForecastNetwork(replace(SMALL, transformer=False)).to("meta")
    context = torch.empty(2, 288, 14, device="meta")
    clock, profile = torch.empty(2, device="meta"), torch.empty(2, device="meta").long()
    assert network(context, clock, profile).shape == (2, 96, 14, 7)

import math

import numpy as np
import pytest

from functions.rules.evaluation.promotion import Blocks, Trial, Verdict, compare_models
from storage.model.metrics import GROUPS, METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES

RANDOM = np.random.default_rng(0)
ORIGINS = 6  # two days
SERVING = RANDOM.uniform(0.5, 0.8, (20, 14))
PROFILES = np.repeat(np.arange(20) // 10, ORIGINS)  # ten servers of each of two


def by_window(loss: np.ndarray) -> np.ndarray:
    """Losses [S, 14] relative to naive, spread evenly over the windows [S * ORIGINS, 14]."""
    return np.repeat(loss, ORIGINS, axis=0) / ORIGINS


def blocks(left_out: np.ndarray | None = None, naive: np.ndarray | None = None) -> Blocks:
    count = len(PROFILES)
    return Blocks(
        by_window(np.ones((20, 14))) if naive is None else naive,
        PROFILES,
        np.zeros(count, np.bool_) if left_out is None else left_out,
        ORIGINS,
    )


def compared(
    candidate: np.ndarray, serving: np.ndarray = SERVING, jumps: tuple[float, float] = (0.05, 0.05)
) -> Verdict:
    return compare_models(
        Trial(by_window(candidate), jumps[0]), Trial(by_window(serving), jumps[1]), blocks()
    )


def times(factor: float, noise: float = 0.02) -> np.ndarray:
    return SERVING * factor * np.exp(noise * RANDOM.normal(size=SERVING.shape))


def test_a_model_that_is_better_everywhere_is_promoted() -> None:
    verdict = compared(times(0.9))
    assert verdict.promote
    assert verdict.overall.change == pytest.approx(np.log(0.9), abs=0.01)
    assert set(verdict.groups) == set(GROUPS)
    assert set(verdict.profiles) == set(PROFILE_NAMES[:2])


def test_a_model_that_is_better_by_chance_only_is_not() -> None:
    verdict = compared(times(0.999, noise=0.5))
    assert not verdict.promote
    assert "beyond noise" in verdict.why


def test_one_group_of_metrics_that_gets_worse_is_enough_to_refuse() -> None:
    loss = times(0.9)
    loss[:, METRIC_NAMES.index("load_average")] *= 1.3
    verdict = compared(loss)
    assert not verdict.promote
    assert verdict.why.startswith("worse than the serving model: load (")


def test_a_profile_that_is_worse_by_more_than_two_percent_is_enough_whatever_its_noise() -> None:
    loss = times(0.8)
    loss[:10] = SERVING[:10] * np.exp(RANDOM.normal(math.log(1.04), 0.3, (10, 14)))
    loss[:10] *= 1.04 / np.exp(np.log(loss[:10] / SERVING[:10]).mean())
    verdict = compared(loss)
    assert verdict.profiles[PROFILE_NAMES[0]].noise > 0.02
    assert not verdict.promote
    assert f"profile {PROFILE_NAMES[0]} (" in verdict.why


def test_nothing_behind_naive_serves_even_when_it_is_better_than_before() -> None:
    poor, loss = SERVING.copy(), times(0.9)
    network = [METRIC_NAMES.index(m) for m in GROUPS["network"]]
    poor[:, network], loss[:, network] = 1.5, 1.2
    verdict = compared(loss, poor)
    assert not verdict.promote
    assert verdict.why.startswith("worse than yesterday's value: network")


def test_a_restless_model_is_refused_with_both_jumps() -> None:
    verdict = compared(times(0.9), jumps=(0.2, 0.05))
    assert not verdict.promote
    assert verdict.why.startswith("less stable: forecasts 15 minutes apart differ by 0.20 widths")
    assert verdict.as_dict()["jump"] == [0.2, 0.05]
    assert compared(times(0.9), jumps=(0.04, 0.01)).promote
    assert compared(times(0.9), jumps=(math.nan, math.nan)).as_dict()["jump"] == [None, None]


def test_servers_that_move_together_count_once() -> None:
    mood = np.exp(0.3 * RANDOM.normal(size=(20, 1)))
    together = compared(SERVING * mood).overall.noise
    alone = compared(times(1.0, 0.3)).overall.noise
    assert together > 2.5 * alone


def test_days_that_are_common_shocks_of_the_fleet_count_once() -> None:
    """The candidate wins 40 % on one day and loses 35 % on the other: two cases, not 120."""
    one_day = np.tile(np.repeat([0.6, 1.35], ORIGINS // 2), 20)[:, None]
    verdict = compare_models(
        Trial(by_window(SERVING) * one_day), Trial(by_window(SERVING)), blocks()
    )
    assert verdict.overall.change == pytest.approx(math.log(0.975), abs=0.001)
    assert verdict.overall.noise > 0.2
    assert not verdict.promote


def test_windows_in_which_somebody_acted_decide_nothing() -> None:
    acted = np.tile(np.arange(ORIGINS) == 2, 20)
    loss = np.where(acted[:, None], 50.0, by_window(times(0.9)))
    serving = Trial(by_window(SERVING))
    assert not compare_models(Trial(loss), serving, blocks()).promote
    verdict = compare_models(Trial(loss), serving, blocks(left_out=acted))
    assert verdict.promote
    assert verdict.as_dict()["windows"] == 100
    assert verdict.as_dict()["left_out"] == 20


def test_metrics_that_were_not_scored_do_not_count() -> None:
    naive = by_window(np.ones((20, 14)))
    naive[:, 1:] = 0.0
    candidate, serving = Trial(by_window(times(0.9))), Trial(by_window(SERVING))
    verdict = compare_models(candidate, serving, blocks(naive=naive))
    assert list(verdict.groups) == ["CPU"]
    with pytest.raises(ValueError, match="0 of 120 windows left out: there is nothing to judge by"):
        compare_models(candidate, serving, blocks(naive=np.zeros_like(naive)))

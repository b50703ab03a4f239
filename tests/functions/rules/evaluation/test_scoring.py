from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.rules.evaluation.scoring import (
    ORIGINS,
    Array,
    baselines,
    comparable,
    held_out_windows,
    score,
    score_by_metric,
    summed,
    tally,
)
from storage.model.metrics import METRIC_NAMES
from tests.storage.small_fleets import fleet

UPTIME = METRIC_NAMES.index("uptime_days")


def known_future(context: Array, *_: object) -> Array:
    """A forecast that is right about waves: yesterday, with bands of three deviations."""
    steps = np.array([-3.0, -1.8, -1.0, 0.0, 1.0, 1.8, 3.0], np.float32)
    return context[:, :96, :, None] + steps


def test_windows_are_the_last_days_8_hours_apart() -> None:
    history = fleet()
    windows = held_out_windows(history)
    assert windows.context.shape == (3 * ORIGINS, 288, 14)
    np.testing.assert_array_equal(windows.target[ORIGINS - 1], history.values[0, -96:])
    np.testing.assert_array_equal(windows.target[0], history.values[0, -ORIGINS * 96 :][:96])
    np.testing.assert_array_equal(windows.context[1, -1], windows.target[0, -1])


def test_the_seasonal_naive_forecast_scores_1() -> None:
    windows = held_out_windows(fleet())
    forecast = baselines()["seasonal naive"](windows.context, windows.week_minute, windows.profile)
    assert score(forecast, windows).loss == pytest.approx(1.0)
    assert score(forecast, windows).error == pytest.approx(1.0)


def test_good_bands_around_the_same_median_score_better() -> None:
    windows = held_out_windows(fleet())
    inputs = (windows.context, windows.week_minute, windows.profile)
    scores = {
        name: score(candidate(*inputs), windows)
        for name, candidate in {"model": known_future, **baselines()}.items()
    }
    assert scores["model"].loss < 0.9
    assert scores["model"].error == pytest.approx(1.0)
    assert scores["model"].loss < scores["context quantiles"].loss < scores["last value"].loss


def test_a_series_that_never_moves_is_left_out() -> None:
    history = fleet()
    values = history.values.copy()
    values[..., 0] = 5.0
    scored = score(known_future(held_out_windows(history).context), held_out_windows(history))
    still = held_out_windows(replace(history, values=values))
    assert score(known_future(still.context), still).series == scored.series - 3
    assert np.isnan(score_by_metric(known_future(still.context), still).loss[:, 0]).all()


def test_missing_targets_do_not_count() -> None:
    windows = held_out_windows(fleet())
    holes = windows.target.copy()
    holes[:, ::2] = np.nan
    full = score(known_future(windows.context), windows)
    half = score(known_future(windows.context), replace(windows, target=holes))
    assert half.loss == pytest.approx(full.loss, rel=0.05)
    assert half.series == full.series


def test_chosen_windows_are_scored_alone() -> None:
    history = fleet()
    marks: NDArray[np.bool_] = np.zeros(history.values.shape[:2], np.bool_)
    marks[1, -10:] = True
    windows = held_out_windows(replace(history, anomalous=marks))
    assert windows.anomalous.sum() == windows.struck.sum() == 1
    marked = score(known_future(windows.context), windows, windows.anomalous)
    assert marked.series == 14


def test_context_quantiles_abstain_with_the_model() -> None:
    history = fleet()
    values = history.values.copy()
    values[..., UPTIME] = np.nan
    windows = held_out_windows(replace(history, values=values))
    forecast = baselines()["context quantiles"](
        windows.context, windows.week_minute, windows.profile
    )
    assert np.isnan(forecast[..., UPTIME, :]).all()
    assert not np.isnan(forecast[..., 0, :]).any()


def test_too_little_history_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluation needs"):
        held_out_windows(fleet(days=4))


def test_a_lead_counts_the_steps_from_the_one_before_it() -> None:
    windows = held_out_windows(fleet(servers=1), origins=1)
    forecast = np.repeat(windows.target[..., None], 7, -1)
    known = comparable(windows, forecast)
    assert tally(forecast, windows, known).count[0, :, 0].tolist() == [6, 6, 12, 24, 48]
    forecast[0, 6:12] += 1.0  # half an hour of errors, one hour ahead
    result = tally(forecast, windows, known)
    np.testing.assert_allclose(
        result.loss[0, :, 0], [0, 6 * (0.9 + 0.5 + 0.1), 0, 0, 0], rtol=1e-4, atol=1e-5
    )
    assert result.inside[0, :, 0].tolist() == [6, 0, 12, 24, 48]


def test_only_what_all_have_forecast_is_compared() -> None:
    windows = held_out_windows(fleet(servers=1), origins=2)
    whole = known_future(windows.context)
    part = whole.copy()
    part[:, 48:] = np.nan
    assert comparable(windows, whole, part)[:, :48].all()
    assert not comparable(windows, whole, part)[:, 48:].any()


def test_lots_of_servers_sum_to_what_they_are_together() -> None:
    history = fleet(servers=4)
    every = held_out_windows(history, origins=3)
    parts = [held_out_windows(history.only(rows), origins=3) for rows in ([0, 1], [2, 3])]
    lots = summed(
        tally(f, w, comparable(w, f)) for w, f in ((w, known_future(w.context)) for w in parts)
    )
    whole = known_future(every.context)
    np.testing.assert_array_equal(lots.loss, tally(whole, every, comparable(every, whole)).loss)

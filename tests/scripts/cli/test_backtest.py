from datetime import timedelta

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.baselines import LAST_VALUE, SEASONAL
from functions.rules.evaluation.scoring import held_out_windows
from scripts.cli.backtest import SERVED, as_json, backtest, lead_name, served
from storage.model.metrics import METRIC_NAMES
from storage.query.history import HistoryError
from tests.scripts.cli.histories import MEMORY, MONDAY, random_walk
from tests.storage.small_fleets import fleet


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster.open(SHIPPED)


def test_the_forecast_scored_is_the_one_that_users_get(forecaster: Forecaster) -> None:
    windows = held_out_windows(fleet(2, days=3), origins=2)
    result = served(forecaster)(windows.context, windows.week_minute, windows.profile)
    for row, back in enumerate([2, 1, 2, 1]):
        start = MONDAY + timedelta(days=3) - back * timedelta(hours=8) - timedelta(days=1)
        context, profile = windows.context[row : row + 1], windows.profile[row : row + 1]
        expected = forecaster.predict(context, start, profile).quantiles
        np.testing.assert_allclose(result[row], expected[0], atol=1e-3)


def test_all_forecasts_are_compared_on_the_same_values(forecaster: Forecaster) -> None:
    history = fleet(2, days=3)
    history.values[0, -150:-96] = np.nan  # silent before the last origin: no forecast from it
    result = backtest(history, forecaster, origins=2)
    counts = [result.tallies[name].count for name in result.tallies]
    assert all((count == counts[0]).all() for count in counts)
    assert counts[0][:, 0, MEMORY].tolist() == [6, 0, 6, 6]
    assert result.abstained == 96 * 14
    assert result.score(SEASONAL).loss == pytest.approx(1)


def test_fewer_origins_than_asked_for_are_taken_from_the_end(forecaster: Forecaster) -> None:
    result = backtest(fleet(1, days=2), forecaster, origins=14)
    assert result.origins == 3
    assert result.history.span[1] == MONDAY + timedelta(days=2)
    assert result.metrics == METRIC_NAMES


def test_it_loses_when_one_of_the_naive_forecasts_is_better(forecaster: Forecaster) -> None:
    result = backtest(random_walk(), forecaster, origins=6)
    best = min(result.score(SEASONAL).loss, result.score(LAST_VALUE).loss)
    assert result.loses == (result.score(SERVED).loss > best)
    assert result.loses
    assert not backtest(fleet(2, days=3), forecaster, origins=2).loses


def test_a_fleet_that_never_moves_cannot_be_compared(forecaster: Forecaster) -> None:
    history = fleet(1, days=3)
    history.values[...] = 5.0
    with pytest.raises(HistoryError, match="nothing can be compared"):
        backtest(history, forecaster, origins=1)


def test_leads_are_named_in_minutes_up_to_an_hour() -> None:
    assert [lead_name(lead) for lead in (0, 1, 4, None)] == ["30 min", "1 h", "8 h", "all"]


def test_what_cannot_be_scored_is_null_in_json(forecaster: Forecaster) -> None:
    history = fleet(1, days=2)
    history.values[0, -96:, MEMORY] = np.nan  # nothing to compare with in the last 8 hours
    result = backtest(history, forecaster, origins=1)
    scores = as_json(result, LoadedHistory(history, (), 0, ()))["scores"]
    assert {s["metric"] for s in scores} == {*METRIC_NAMES, None} - {"mem_used_pct"}
    assert all(s["loss"] is None or s["loss"] > 0 for s in scores)

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.evaluation.baselines import SEASONAL, Array, Forecasting, baselines
from scripts.tools import forecast_peers
from scripts.tools.accuracy_benchmark import (
    BEGIN,
    END,
    BenchmarkResult,
    BenchmarkSet,
    race,
    tables,
    written,
)
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.storage.small_fleets import fleet

LEARNED = fleet(servers=2, days=6)


def yesterday(histories: Sequence[History], seed: int) -> Forecasting:
    """A learner that learns nothing: it must score as the seasonal naive forecast does."""
    assert list(histories) == [LEARNED]
    assert seed == 5
    return baselines()[SEASONAL]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster.open(SHIPPED)


@pytest.fixture(scope="module")
def course() -> BenchmarkSet:
    held = fleet(servers=2, days=6, seed=1)
    marks = np.zeros(held.values.shape[:2], np.bool_)
    marks[0, -5:] = True
    held = History(held.servers, held.profiles, held.start_s, held.values, marks)
    return BenchmarkSet("two servers", True, [LEARNED], [held])


@pytest.fixture(scope="module")
def result(course: BenchmarkSet, forecaster: Forecaster, work: Path) -> BenchmarkResult:
    return race(course, forecaster, 5, work, {"yesterday": yesterday})


def test_a_peer_that_says_yesterday_scores_1(result: BenchmarkResult) -> None:
    assert result.scores("yesterday").over().loss == pytest.approx(1)
    assert result.scores("served").over().loss < 1


def test_what_a_peer_answered_is_kept_for_the_next_model(
    course: BenchmarkSet, forecaster: Forecaster, work: Path, result: BenchmarkResult
) -> None:
    again = race(course, forecaster, 5, work, {"yesterday": lambda *_: pytest.fail("it was kept")})
    np.testing.assert_array_equal(again.tallies["yesterday"].loss, result.tallies["yesterday"].loss)


def test_the_tables_tell_each_forecast_and_each_metric(result: BenchmarkResult) -> None:
    text = tables([result], "abc")
    assert "Of model `abc`" in text
    assert "| held-out set | served | yesterday | seasonal naive |" in text
    assert "| two servers | ." in text
    assert all(f"| {name} | " in text for name in METRIC_NAMES)
    calm_and_not = text.split("| anomalous |")[1].splitlines()[2]
    assert calm_and_not.count(" / ") == 8  # all, calm, anomalous, five groups


def test_the_page_is_written_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert written(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="no lines"):
        written("before", "new")


def test_peers_answer_in_order_in_range_and_abstain_with_the_model() -> None:
    def wide(series: forecast_peers._SeriesWindows) -> Array:
        spread = np.array([9, -9, 0, 0, 0, 1, 99], np.float32)
        return np.broadcast_to(spread, (len(series.context), 96, 7))

    context = fleet(1, days=1).values.copy()
    context[0, :-11, 0] = np.nan
    found = forecast_peers._asked(wide)(context, np.zeros(1, np.float32), np.zeros(1, np.int64))
    assert np.isnan(found[..., 0, :]).all()
    assert (np.diff(found[..., 1:, :], axis=-1) >= 0).all()
    assert found[..., 1, :].min() >= 0
    assert found[..., 1, :].max() == 100
    np.testing.assert_allclose(found[0, 0, 1, 2], np.median(context[0, :, 1]), rtol=1e-5)


def test_lightgbm_is_told_of_yesterday_around_the_lead() -> None:
    steps = np.arange(288, dtype=np.float32)[None].copy()
    steps[0, 11] = np.nan
    leads = np.array([[0, 10, 95]])
    around = forecast_peers._around(steps, leads, 3)
    np.testing.assert_allclose(around[0], [2.0, (8 + 9 + 10 + 12 + 13) / 5, 95.5])


def test_peers_learn_windows_in_their_own_units() -> None:
    drawn = forecast_peers._drawn([LEARNED], 200, np.random.default_rng(0))
    np.testing.assert_allclose(np.nanmedian(drawn.context, axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.nanmean(np.abs(drawn.context), axis=1), 1, rtol=1e-4)
    assert drawn.target.shape == (200, 96)

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.evaluation.baselines import SEASONAL, Forecasting, baselines
from scripts.tools.accuracy_benchmark import (
    BEGIN,
    END,
    BenchmarkResult,
    BenchmarkSet,
    run_benchmark,
    tables,
    with_tables,
)
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from tests.storage.small_fleets import fleet

TRAINING = fleet(servers=2, days=6)


def yesterday(histories: Sequence[History], seed: int) -> Forecasting:
    """A learner that learns nothing: it must score as the seasonal naive forecast does."""
    assert list(histories) == [TRAINING]
    assert seed == 5
    return baselines()[SEASONAL]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster.open(SHIPPED)


@pytest.fixture(scope="module")
def benchmark_set() -> BenchmarkSet:
    held_out = fleet(servers=2, days=6, seed=1)
    marks = np.zeros(held_out.values.shape[:2], np.bool_)
    marks[0, -5:] = True
    held_out = History(
        held_out.servers, held_out.profiles, held_out.start_s, held_out.values, marks
    )
    return BenchmarkSet("two servers", True, [TRAINING], [held_out])


@pytest.fixture(scope="module")
def result(benchmark_set: BenchmarkSet, forecaster: Forecaster, work: Path) -> BenchmarkResult:
    return run_benchmark(benchmark_set, forecaster, 5, work, {"yesterday": yesterday})


def test_a_peer_that_repeats_yesterday_scores_1(result: BenchmarkResult) -> None:
    assert result.scores("yesterday").over().loss == pytest.approx(1)
    assert result.scores("served").over().loss < 1


def test_the_forecasts_of_a_peer_are_kept_for_the_next_model(
    benchmark_set: BenchmarkSet, forecaster: Forecaster, work: Path, result: BenchmarkResult
) -> None:
    again = run_benchmark(
        benchmark_set, forecaster, 5, work,
        {"yesterday": lambda *_: pytest.fail("its forecasts were kept")},
    )  # fmt: skip
    np.testing.assert_array_equal(again.tallies["yesterday"].loss, result.tallies["yesterday"].loss)


def test_the_tables_have_each_forecast_and_each_metric(result: BenchmarkResult) -> None:
    text = tables([result], "abc")
    assert "Of model `abc`" in text
    assert "| held-out set | served | yesterday | seasonal naive |" in text
    assert "| two servers | ." in text
    assert all(f"| {name} | " in text for name in METRIC_NAMES)
    calm_and_not = text.split("| anomalous |")[1].splitlines()[2]
    assert calm_and_not.count(" / ") == 8  # all, calm, anomalous, five groups


def test_the_page_is_written_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_tables(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="no lines"):
        with_tables("before", "new")

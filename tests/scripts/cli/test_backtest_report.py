import re

import numpy as np
import pytest

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.normalize.history_files import LoadedHistory
from functions.rules.evaluation.scoring import Forecasting
from scripts.cli.backtest import Backtest, backtest, served
from scripts.cli.backtest_report import html_report
from tests.storage.small_fleets import fleet


@pytest.fixture(scope="module")
def forecasting() -> Forecasting:
    return served(Forecaster.open(SHIPPED))


@pytest.fixture(scope="module")
def result() -> Backtest:
    """A backtest of two servers, of which one metric has no values."""
    history = fleet(2, days=3)
    history.values[..., 0] = np.nan
    return backtest(history, Forecaster.open(SHIPPED), origins=2)


@pytest.fixture(scope="module")
def report(result: Backtest, forecasting: Forecasting) -> str:
    loaded = LoadedHistory(result.history, ("<colour>",), 1, ("a & b",))
    return html_report(result, forecasting, loaded)


def test_the_report_loads_nothing_and_runs_nothing(report: str) -> None:
    assert not re.search(r"https?://|<script|@import|url\(", report)


def test_text_from_the_history_is_escaped(report: str) -> None:
    assert "&lt;colour&gt;" in report
    assert "a &amp; b" in report


def test_each_metric_with_values_has_a_point_and_the_others_none(report: str) -> None:
    assert report.count("<title>served: ") == 14  # 13 metrics and all together
    assert "cpu_user_pct" not in report
    assert "nan" not in report


def test_six_examples_are_drawn_with_their_place_among_the_series(report: str) -> None:
    assert report.count('class="median"') == 6
    places = re.findall(r"place (\d+) of 26", report)
    assert places[::2] == ["1", "6", "11", "16", "21", "26"]  # each in a caption and a label


def test_the_verdict_stands_at_the_top(report: str, result: Backtest) -> None:
    assert not result.loses
    assert '<p class="verdict">The served forecast is better than both naive ones: loss' in report

"""What a function reads of the lake through its window."""

import subprocess
import sys
from datetime import timedelta

import pytest

from functions.engine.window import Window
from storage.errors import QueryFailed
from storage.model.grid import STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW, LakeFixture

STOP = floor_step(NOW)


@pytest.fixture
def window(house: LakeFixture) -> Window:
    samples = [
        {"server": server, "ts": NOW - timedelta(minutes=age), "mem_used_pct": 50.0}
        for server, age in (("a", 1), ("b", 90))
    ]
    house.put("metrics", samples)
    step = {"server": "a", "ts": STOP - STEP, "mem_used_pct_mean": 40.0, "mem_used_pct_count": 60}
    house.put("metrics_5m", [step])
    house.commit()
    return Window(house.reader, NOW)


def test_a_query_takes_parameters(window: Window) -> None:
    rows = window.sql("SELECT server FROM servers WHERE server > $after", after="a")
    assert rows["server"].to_pylist() == ["b"]


def test_a_wrong_query_fails_with_the_words_of_the_database(window: Window) -> None:
    with pytest.raises(QueryFailed, match="metricks"):
        window.sql("SELECT * FROM metricks")


def test_contexts_are_dense_arrays_with_gaps_as_nan(window: Window) -> None:
    contexts = window.contexts(STOP, 12)
    memory = contexts.values[:, :, METRIC_NAMES.index("mem_used_pct")]
    assert contexts.servers == ("a", "b")
    assert contexts.values.shape == (2, 12, len(METRIC_NAMES))
    assert memory[0, -1] == 40.0
    assert (memory == memory).sum() == 1  # the others are NaN
    assert window.contexts(STOP, 12, ["b"]).servers == ("b",)


def test_readings_are_the_last_samples_that_are_recent_enough(window: Window) -> None:
    assert window.readings(timedelta(hours=1)).servers == ("a",)
    assert window.readings(timedelta(hours=2)).servers == ("a", "b")


def test_a_server_with_a_context_and_no_forecast_needs_one(window: Window) -> None:
    assert window.forecasts().servers == ()
    assert window.servers_to_forecast(STOP, timedelta(minutes=30), "", 10) == ["a", "b"]
    assert window.servers_to_forecast(STOP, timedelta(minutes=30), "", 1) == ["a"]
    assert window.servers_to_forecast(STOP, timedelta(minutes=30), "a", 10) == ["b"]


def test_naming_the_window_in_an_annotation_loads_no_database_engine() -> None:
    code = "import sys, functions.engine.window; sys.exit('duckdb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

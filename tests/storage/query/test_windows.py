from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILE_COLUMNS, STEP, floor_step
from storage.model.metrics import METRIC_NAMES
from storage.query.windows import contexts, forecasts, merge_spans, readings, rollup
from tests.conftest import NOW, LakeFixture

STOP = floor_step(NOW)
MEMORY = METRIC_NAMES.index("mem_used_pct")
SWAP = METRIC_NAMES.index("swap_used_pct")


def step(server: str, back: int, memory: float | None) -> dict[str, Any]:
    return {"server": server, "ts": STOP - back * STEP, "mem_used_pct_mean": memory}


def sample(seconds: int, memory: float | None = 50.0, server: str = "a") -> dict[str, Any]:
    return {"server": server, "ts": STOP - timedelta(seconds=seconds), "mem_used_pct": memory,
            "load_average": 1.0}  # fmt: skip


def facts(house: LakeFixture, *servers: str) -> None:
    house.put("server_facts", [{"server": s, "ts": NOW, "profile": "generic"} for s in servers])


def test_a_context_is_dense_and_its_gaps_are_nan(house: LakeFixture) -> None:
    facts(house, "a", "b")
    house.put("metrics_5m", [step("a", 1, 10.0), step("a", 3, 30.0), step("b", 288, 5.0)])
    house.commit()
    window = contexts(house.reader, STOP)
    assert window.values.shape == (2, CONTEXT_STEPS, len(METRIC_NAMES))
    np.testing.assert_array_equal(window.values[0, -3:, MEMORY], [30, np.nan, 10])
    assert window.values[1, 0, MEMORY] == 5
    assert np.isnan(window.values[:, :, SWAP]).all()
    assert window.stop == STOP


def test_a_window_of_some_servers_has_those_and_no_other(house: LakeFixture) -> None:
    facts(house, "a", "b", "c")
    house.put("metrics_5m", [step(server, 1, 1.0) for server in "abc"])
    house.commit()
    window = contexts(house.reader, STOP, among=["a", "c"])
    assert window.servers == ("a", "c")
    np.testing.assert_array_equal(window.values[:, -1, MEMORY], [1, 1])


def test_steps_of_an_erased_server_are_left_out(house: LakeFixture) -> None:
    house.put("metrics_5m", [{"server": "a", "ts": NOW - STEP, "cpu_user_pct_mean": 1.0}])
    house.put("metrics", [{"server": "z", "ts": NOW, "cpu_user_pct": 2.0}])
    house.commit()
    result = contexts(house.reader, floor_step(NOW))
    assert result.servers == ("z",)
    assert np.isnan(result.values).all()


def test_steps_outside_of_the_context_are_left_out(house: LakeFixture) -> None:
    facts(house, "a")
    house.put("metrics_5m", [step("a", 0, 1.0), step("a", 289, 1.0)])
    house.commit()
    assert np.isnan(contexts(house.reader, STOP).values).all()


def test_a_server_without_a_sample_has_a_context_all_the_same(house: LakeFixture) -> None:
    facts(house, "silent")
    house.commit()
    assert contexts(house.reader, STOP).servers == ("silent",)


def test_an_empty_lake_gives_empty_windows(house: LakeFixture) -> None:
    assert contexts(house.reader, STOP).values.shape == (0, CONTEXT_STEPS, 14)
    assert readings(house.reader, NOW, timedelta(hours=1)).values.shape == (0, 14)
    assert forecasts(house.reader, NOW).quantiles.shape == (0, HORIZON_STEPS, 14, 7)


def test_the_last_sample_of_each_server_is_read_with_nan_for_missing(house: LakeFixture) -> None:
    house.put("metrics", [sample(10, 1.0), sample(5, None), sample(7, 2.0, "b")])
    house.commit()
    last = readings(house.reader, NOW, timedelta(hours=1))
    assert last.servers == ("a", "b")
    np.testing.assert_array_equal(last.values[:, MEMORY], [np.nan, 2.0])
    assert last.at[0] == STOP - timedelta(seconds=5)


def test_the_newest_forecast_of_each_server_becomes_one_array(house: LakeFixture) -> None:
    def row(hours: int, metric: str, value: float | None) -> dict[str, Any]:
        curve = None if value is None else [value] * HORIZON_STEPS
        return {"server": "a", "metric": metric, "issued_at": STOP - timedelta(hours=hours),
                "made_at": NOW, "state": "ok"} | dict.fromkeys(QUANTILE_COLUMNS, curve)  # fmt: skip

    house.put("forecasts", [row(1, "mem_used_pct", 7.0), row(2, "mem_used_pct", 3.0)])
    house.put("forecasts", [row(1, "swap_used_pct", None)])
    house.commit()
    issued = forecasts(house.reader, NOW)
    assert issued.issued_at == (STOP - timedelta(hours=1),)
    assert (issued.quantiles[0, :, MEMORY] == 7).all()
    assert np.isnan(issued.quantiles[0, :, SWAP]).all()


BEGINNING = NOW - timedelta(days=400)


def test_a_rollup_has_mean_max_and_count_and_missing_stays_missing(house: LakeFixture) -> None:
    house.put("metrics", [sample(10, 20.0), sample(20, 40.0), sample(30, None)])
    house.commit()
    rows, _ = rollup(house.reader, BEGINNING, STOP)
    result = rows.to_pylist()[0]
    assert (result["mem_used_pct_mean"], result["mem_used_pct_max"]) == (30.0, 40.0)
    assert (result["mem_used_pct_count"], result["load_average_count"]) == (2, 3)
    assert (result["swap_used_pct_mean"], result["swap_used_pct_count"]) == (None, 0)


def test_a_step_that_is_not_over_is_not_rolled_up(house: LakeFixture) -> None:
    house.put("metrics", [sample(-10)])
    house.commit()
    assert rollup(house.reader, BEGINNING, STOP)[0].num_rows == 0


def test_the_cursor_waits_for_steps_that_are_not_over(house: LakeFixture) -> None:
    house.put("metrics", [sample(10), sample(-10)])
    house.commit()
    rows, cursor = rollup(house.reader, BEGINNING, STOP)
    assert rows.num_rows == 1
    later, _ = rollup(house.reader, cursor, STOP + STEP)
    assert STOP in later["ts"].to_pylist()


def test_complete_rollups_are_not_written_again(house: LakeFixture) -> None:
    house.put("metrics", [sample(10)])
    house.commit()
    rows, _ = rollup(house.reader, BEGINNING, STOP)
    house.put("metrics_5m", rows)
    house.commit()
    assert rollup(house.reader, BEGINNING, STOP)[0].num_rows == 0


def test_a_metric_that_comes_late_leaves_the_rollups_of_the_others_alone(
    house: LakeFixture,
) -> None:
    """The raw samples of the first one were deleted: the late one's are all that is left."""
    house.put("metrics_5m", [{
        "server": "a", "ts": STOP - STEP, "cpu_user_pct_mean": 7.0, "cpu_user_pct_count": 60,
    }])  # fmt: skip
    house.put("metrics", [sample(10, 20.0)])
    house.commit()
    rows, _ = rollup(house.reader, BEGINNING, STOP)
    result = rows.to_pylist()[0]
    assert (result["cpu_user_pct_mean"], result["cpu_user_pct_count"]) == (7.0, 60)
    assert (result["mem_used_pct_mean"], result["mem_used_pct_count"]) == (20.0, 1)


@pytest.mark.parametrize("days", [0, 3])
def test_late_samples_of_any_age_are_rolled_up_again(house: LakeFixture, days: int) -> None:
    old = days * 86_400
    house.put("metrics", [sample(10 + old, 20.0), sample(10)])
    house.commit()
    rows, cursor = rollup(house.reader, BEGINNING, STOP)
    house.put("metrics_5m", rows)
    house.put("metrics", [sample(20 + old, 40.0)])
    house.commit(NOW + timedelta(seconds=1))
    again, _ = rollup(house.reader, cursor, STOP)
    assert again["mem_used_pct_mean"].to_pylist() == [30.0]


def test_spans_that_touch_are_one_and_very_many_are_too() -> None:
    def at(*steps: int) -> tuple[datetime, datetime]:
        first, last = (STOP + step * STEP for step in steps)
        return first, last

    assert merge_spans([at(0, 2), at(1, 2), at(2, 3), at(5, 6)]) == [at(0, 3), at(5, 6)]
    assert merge_spans(at(i, i + 1) for i in range(0, 20, 2)) == [at(0, 19)]
    assert merge_spans([]) == []


def test_only_steps_with_late_samples_are_read(house: LakeFixture) -> None:
    house.put("metrics", [sample(10), sample(1000), sample(2900)])
    house.commit()
    _, cursor = rollup(house.reader, BEGINNING, STOP)
    house.put("metrics", [sample(11), sample(12)])
    house.put("metrics", [sample(2901)])
    house.commit(NOW + timedelta(seconds=1))
    rows, reached = rollup(house.reader, cursor, STOP)
    assert sorted(rows["mem_used_pct_count"].to_pylist()) == [2, 3]
    assert reached == NOW + timedelta(seconds=1)

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP
from storage.model.metrics import METRIC_NAMES
from storage.query import due_forecasts
from storage.query.due_forecasts import HOUR, DueIssue
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

START = NOW.replace(minute=0, second=0)
MEMORY = METRIC_NAMES.index("mem_used_pct")


def forecast(
    server: str, issued_at: Any, steps: int = HORIZON_STEPS, **more: Any
) -> dict[str, Any]:
    """A forecast of memory: the value of each step is its place, that of each quantile 100 more."""
    curves = {
        name: [100.0 * i + step for step in range(steps)] for i, name in enumerate(QUANTILE_COLUMNS)
    }
    row = {"server": server, "metric": "mem_used_pct", "issued_at": issued_at, "made_at": NOW}
    return row | {"state": "ok", "model": "m1"} | curves | more


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with forecasts of "a" and "b" every 5 minutes, of "b" with gaps; it is only read."""
    issues = [START + HOUR - i * STEP for i in range(1, 110)]
    rows = [forecast("a", at) for at in issues]
    rows += [forecast("b", at) for at in issues if at.minute % 15 == 5]
    rows += [forecast("c", START + STEP, 48), forecast("c", START + STEP, metric="queue_length")]
    with house_at(tmp_path_factory.mktemp("due")) as house:
        house.put("forecasts", rows)
        house.put("metrics_5m", [
            {"server": "a", "ts": START + i * STEP, "load_average_mean": float(i % 6),
             "load_average_count": 60}
            for i in range(-48, 12)
        ])  # fmt: skip
        house.commit()
        yield house


@pytest.fixture(scope="module")
def issues(house: LakeFixture) -> list[DueIssue]:
    return list(due_forecasts.due_issues(house.reader, ["a", "b", "c"], START))


def test_of_each_quarter_and_each_hour_the_fullest_issue_is_due(issues: list[DueIssue]) -> None:
    minutes = [(each.issued_at - START) / timedelta(minutes=1) for each in issues]
    long = [float(-60 * hour + 5) for hour in range(8, 1, -1)]
    short = [float(minute) for minute in range(-55, 60, 15)]
    assert minutes == [*long, *short]


def test_a_short_issue_has_no_leads_beyond_an_hour(issues: list[DueIssue]) -> None:
    by_minute = {(each.issued_at - START) // timedelta(minutes=1): each for each in issues}
    whole, short, late = by_minute[-55], by_minute[-40], by_minute[20]
    assert (whole.lead, whole.raw.shape) == (11, (2, 12, 7))
    assert (short.lead, short.raw.shape) == (8, (2, 4, 7))
    assert (late.lead, late.raw.shape) == (0, (2, 8, 7))


def test_values_are_those_of_their_steps_and_quantiles(issues: list[DueIssue]) -> None:
    first = issues[1]
    expected = first.lead + np.arange(12)[:, None] + 100 * np.arange(7)
    np.testing.assert_array_equal(first.raw, np.stack([expected, expected]))
    assert (first.servers.tolist(), first.metrics.tolist()) == ([0, 1], [MEMORY, MEMORY])


def test_forecasts_of_another_length_or_metric_are_left_out(issues: list[DueIssue]) -> None:
    assert all(2 not in each.servers for each in issues)


def test_the_scale_is_100_for_percentages_and_else_the_range(house: LakeFixture) -> None:
    scales = due_forecasts.scales(house.reader, ["a", "b"], START)
    assert scales[:, MEMORY].tolist() == [100, 100]
    load = METRIC_NAMES.index("load_average")
    assert scales[0, load] == 0  # each half hour it was the same
    assert np.isnan(scales[1, load])


def test_samples_are_counted_by_server_and_metric(house: LakeFixture) -> None:
    counts = due_forecasts.samples(house.reader, ["a", "b"], START)
    assert counts[:, METRIC_NAMES.index("load_average")].tolist() == [12 * 60, 0]


def test_the_oldest_hour_follows_from_how_long_forecasts_are_kept(house: LakeFixture) -> None:
    assert due_forecasts.oldest_hour(house.reader, NOW) == START - timedelta(hours=39)


def test_without_forecasts_nothing_is_due(house: LakeFixture) -> None:
    assert list(due_forecasts.due_issues(house.reader, ["z"], START)) == []

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.alerting.lake_inputs import odds_history
from storage.model.grid import LEAD_MINUTES
from storage.model.schema import table
from tests.functions.rules.alerts.scenes import T0, minutes


def row(server: str, metric: str, age: float, p: float | None, **more: Any) -> dict[str, Any]:
    known = {"server": server, "metric": metric, "issued_at": T0 - minutes(age)}
    return known | {f"p_{lead}m": p for lead in LEAD_MINUTES} | more


def test_odds_become_a_grid_of_series_and_times_with_gaps() -> None:
    rows = pa.Table.from_pylist([
        row("a", "m", 10, 0.1), row("a", "m", 0, 0.2, checked=True, origin="trend"),
        row("a", "n", 5, 0.3), row("b", "m", 5, None),
    ], table("odds").arrow)  # fmt: skip
    history = odds_history(rows, [], T0)
    assert history.keys == [("a", "m"), ("a", "n"), ("b", "m")]
    assert history.times == [T0 - minutes(10), T0 - minutes(5), T0]
    np.testing.assert_allclose(
        history.p[:, :, 0], [[0.1, np.nan, 0.2], [np.nan, 0.3, np.nan], [np.nan] * 3], rtol=1e-6
    )
    assert history.checked.tolist() == [[False, False, True], [False] * 3, [False] * 3]
    assert history.trend[0, 2]
    assert [each["issued_at"] for each in history.newest] == [T0, *[T0 - minutes(5)] * 2]


@pytest.mark.parametrize(
    ("ages", "cadence"), [([], 5.0), ([15, 10, 5, 0], 5.0), ([45, 30, 15], 15.0), ([120, 0], 15.0)]
)
def test_the_cadence_is_the_usual_time_between_issues(ages: list[int], cadence: float) -> None:
    issued = [T0 - timedelta(minutes=age) for age in ages]
    empty = table("odds").arrow.empty_table()
    assert odds_history(empty, issued, T0).cadence_minutes == cadence

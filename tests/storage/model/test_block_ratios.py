from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy.stats import t as student

from storage.model.block_ratios import block_ratios
from storage.model.views import VIEWS

BEGIN = datetime(2026, 5, 4, tzinfo=UTC)
TEXT = block_ratios({"r": ("part", "whole")})


def ratio(blocks: list[tuple[float, float]], servers: int = 2) -> dict[str, Any]:
    """The ratio of part and whole over blocks: those of each server follow each other by 8 h."""
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE cases (metric VARCHAR, bucket SMALLINT, model VARCHAR, server VARCHAR, "
            "block TIMESTAMPTZ, targets DOUBLE, replayed DOUBLE, part DOUBLE, whole DOUBLE)"
        )
        for i, (part, whole) in enumerate(blocks):
            block = BEGIN + i // servers * timedelta(hours=8)
            row = [None, None, "m", f"s{i % servers}", block, 10, None, part, whole]
            connection.execute(f"INSERT INTO cases VALUES ({', '.join('?' * 9)})", row)
        rows = connection.execute(f"WITH {TEXT} FROM ratios").to_arrow_table()
        return dict(rows.to_pylist()[0])


def half_interval(part: Any, whole: Any) -> float:
    count = len(part)
    if count < 3:
        return np.nan
    squares = ((part - part.sum() / whole.sum() * whole) ** 2).sum()
    factor = student.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))
    return float(factor * np.sqrt(squares) / whole.sum())


@pytest.mark.parametrize(("seed", "count"), [(1, 24), (2, 7), (3, 19)])
def test_the_interval_is_the_wider_of_those_by_blocks_and_by_days(seed: int, count: int) -> None:
    part, whole = np.random.default_rng(seed).integers(1, 50, (2, count)).astype(float)
    blocks = list(zip(part.tolist(), whole.tolist(), strict=True))
    day = np.arange(len(blocks)) // 2 // 3
    daily = [np.bincount(day, each) for each in (part, whole)]
    shown = ratio(blocks)
    assert shown["r"] == pytest.approx(part.sum() / whole.sum())
    expected = np.nanmax([half_interval(part, whole), half_interval(*daily)])
    assert shown["r_error"] == pytest.approx(expected, rel=0.04)


def test_fewer_than_three_blocks_have_no_interval() -> None:
    shown = ratio([(1, 2), (1, 4)])
    assert (shown["r"], shown["r_error"], shown["cases"]) == (pytest.approx(1 / 3), None, 2)


def test_nothing_to_divide_by_is_unknown() -> None:
    shown = ratio([(1, 0)] * 4)
    assert (shown["r"], shown["r_error"]) == (None, None)


@pytest.mark.parametrize("name", ["skill", "accuracy", "coverage"])
def test_the_views_have_their_intervals_from_here(name: str) -> None:
    (view,) = (view for view in VIEWS if view.name == name)
    assert view.text.count("sqrt(count(*) / (count(*) - 1))") == 2

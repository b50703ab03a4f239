"""The views skill, accuracy and coverage against NumPy, over random scores of ten days."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from storage.model.schema import table
from storage.model.views import as_of_now
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

HOURS = 10 * 24
SUMS = ("loss", "loss_model", "error", "error_naive", "error_seasonal")
COUNTS = ("moving", "within_10", "inside_50", "inside_80", "inside_96", "inside_50_model",
          "inside_80_model", "inside_96_model")  # fmt: skip
METRICS, BUCKETS = ("load_average", "mem_used_pct"), (60, 480)

Rows = list[dict[str, Any]]


def scores() -> Rows:
    rng = np.random.default_rng(5)
    day_factor = rng.uniform(0.7, 1.3, HOURS // 24 + 2)  # days are shocks of the whole fleet
    rows = []
    for hour in range(HOURS):
        ts = NOW.replace(minute=0, second=0) - timedelta(hours=hour)
        for server in ("a", "b"):
            for metric in METRICS:
                for bucket in BUCKETS:
                    row = {name: float(rng.gamma(3)) for name in SUMS}
                    row |= {name: int(rng.integers(0, 10)) for name in COUNTS}
                    row["loss"] *= day_factor[(NOW - ts).days]
                    rows.append(row | {
                        "server": server, "metric": metric, "bucket": bucket, "ts": ts,
                        "model": "m", "targets": 12, "moving": 10, "shadow": 0,
                    })  # fmt: skip
    return rows


SCORES = scores()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with ten days of scores, and hours whose forecasts were partly withheld."""
    withheld = [row | {"bucket": 240, "shadow": 1} for row in SCORES[:40]]
    with house_at(tmp_path_factory.mktemp("scores")) as house:
        house.put("scores", table("scores").rows(SCORES + withheld))
        house.commit()
        yield house


def shown(house: LakeFixture, view: str, **chosen: Any) -> dict[str, Any]:
    where = " AND ".join(f"{name} IS NOT DISTINCT FROM ${name}" for name in chosen)
    sql = as_of_now(f"SELECT * FROM {{{view}}} AS v WHERE {where}")
    (row,) = house.reader.query(sql, now=NOW, **chosen).to_pylist()
    result: dict[str, Any] = row
    return result


def ratio(over: str, under: str, **chosen: Any) -> tuple[float, float]:
    """The ratio of two sums over the last 7 days, and half its 95 % interval, by NumPy."""
    from scipy.stats import t as student  # slow to import, by every process that collects the tests

    sums: dict[tuple[Any, ...], list[float]] = {}
    for row in SCORES:
        if row["ts"] <= NOW - timedelta(days=7) or any(row[k] != v for k, v in chosen.items()):
            continue
        day = row["ts"].date()
        for key in ((row["server"], day, row["ts"].hour // 8), (day,)):
            total = sums.setdefault(key, [0.0, 0.0])
            total[0] += row[over]
            total[1] += row[under]
    halves = []
    for size in (3, 1):
        a, b = np.array([total for key, total in sums.items() if len(key) == size]).T
        share, n = a.sum() / b.sum(), len(a)
        error = np.sqrt(n / (n - 1) * ((a - share * b) ** 2).sum()) / b.sum()
        halves.append(student.ppf(0.975, n - 1) * error)
    return float(share), float(max(halves))


@pytest.mark.parametrize("bucket", [None, 480])
def test_skill_is_one_less_the_ratio_of_the_losses(house: LakeFixture, bucket: int | None) -> None:
    row = shown(house, "skill", metric="load_average", bucket=bucket)
    some = {"metric": "load_average"} | ({"bucket": bucket} if bucket else {})
    naive, half = ratio("loss", "error_naive", **some)
    seasonal, _ = ratio("loss", "error_seasonal", **some)
    shown_skills = row["skill"], row["seasonal_skill"]
    assert shown_skills == pytest.approx((1 - naive, 1 - seasonal), abs=1e-6)
    assert row["skill_high"] - row["skill"] == pytest.approx(half, rel=0.01)
    assert row["skill"] - row["skill_low"] == pytest.approx(half, rel=0.01)
    assert row["model_skill"] == pytest.approx(1 - ratio("loss_model", "error_naive", **some)[0])


def test_a_server_gives_three_cases_a_day(house: LakeFixture) -> None:
    row = shown(house, "skill", metric="load_average", bucket=60)
    # 7 days up to 12:00: the first block is from 12:00 to 16:00, the last one is the hour of 12:00
    assert (row["servers"], row["days"], row["cases"]) == (2, 8, 2 * (7 * 3 + 1))
    assert row["targets"] == 2 * 7 * 24 * 12


@pytest.mark.parametrize("metric", [None, "mem_used_pct"])
def test_coverage_is_shown_as_served_and_as_made(house: LakeFixture, metric: str | None) -> None:
    row = shown(house, "coverage", metric=metric, bucket=None, band=80)
    some = {"metric": metric} if metric else {}
    share, half = ratio("inside_80", "moving", **some)
    assert row["inside"] == pytest.approx(share)
    assert row["inside_high"] - share == pytest.approx(half, rel=0.01)
    assert row["inside_model"] == pytest.approx(ratio("inside_80_model", "moving", **some)[0])
    assert row["cases"] == 2 * (7 * 3 + 1)


def test_accuracy_stands_next_to_the_skill(house: LakeFixture) -> None:
    row = shown(house, "accuracy", metric=None, bucket=None)
    share, half = ratio("within_10", "targets")
    assert row["accuracy"] == pytest.approx(share)
    assert row["accuracy_high"] - share == pytest.approx(half, rel=0.01)
    assert row["reaches_goal"] is False
    skills = [shown(house, "skill", metric=m, bucket=None)["skill"] for m in METRICS]
    assert row["skill"] == pytest.approx(np.mean(skills))


def test_hours_that_were_partly_withheld_are_left_out(house: LakeFixture) -> None:
    for view in ("score_blocks", "skill", "accuracy", "coverage"):
        sql = as_of_now(f"SELECT count(*) AS n FROM {{{view}}} AS v WHERE bucket = 240")
        assert house.reader.query(sql, now=NOW)["n"][0].as_py() == 0


@pytest.mark.parametrize("view", ["skill", "accuracy", "coverage"])
def test_the_share_of_replayed_targets_is_shown(house: LakeFixture, view: str) -> None:
    rows = [row | {"model": "half", "replayed": row["server"] == "a" or None} for row in SCORES]
    house.put("scores", table("scores").rows(rows))
    house.commit()
    shares = house.reader.query(
        as_of_now(f"SELECT model, metric, replayed FROM {{{view}}} AS v WHERE metric IS NOT NULL"),
        now=NOW,
    ).to_pylist()  # fmt: skip
    assert {row["replayed"] for row in shares if row["model"] == "m"} == {0.0}
    assert [row["replayed"] for row in shares if row["model"] == "half"] == pytest.approx(
        [0.5] * sum(row["model"] == "half" for row in shares)
    )

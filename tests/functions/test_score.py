from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.engine.runner import Run, Runner
from functions.score import score
from storage.config.settings import Settings
from storage.model.grid import HORIZON_STEPS, QUANTILE_COLUMNS, STEP
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

HOUR = NOW.replace(minute=0, second=0) - timedelta(hours=1)  # the hour that is complete
END = HOUR + timedelta(hours=1)
SCORED_AT = END + timedelta(minutes=3)


def steps(
    server: str, value: float, start: datetime, count: int, samples: int = 60, **more: Any
) -> list[dict[str, Any]]:
    """Roll-ups of memory from `start` on; they rise by 1 a step within each hour."""
    return [
        {
            "server": server, "ts": start + i * STEP, "mem_used_pct_mean": value + i % 12,
            "mem_used_pct_count": samples, **more,
        }
        for i in range(count)
    ]  # fmt: skip


def forecast(server: str, issued_at: datetime, value: float, **more: Any) -> dict[str, Any]:
    """A forecast of memory around `value`: its quantiles are 1 apart."""
    curves = {name: [value + i - 3] * HORIZON_STEPS for i, name in enumerate(QUANTILE_COLUMNS)}
    given = {"metric": "mem_used_pct", "made_at": issued_at, "state": "ok", "model": "m1"}
    return {"server": server, "issued_at": issued_at} | given | curves | more


SINCE = END - timedelta(hours=34)
QUARTER = timedelta(minutes=15)
NONE_MADE = {"state": "abstained", **dict.fromkeys(QUANTILE_COLUMNS)}
RECIPE = {
    "widths": [2.0] * 9, "weights": [0.5, 0.5, 0, 0] * 3, "context": [54.0] * 7,
    "seasonal": [55.0] * 96, "seasonal_band": [0.0] * 21, "last_band": [61.0] * 21,
}  # fmt: skip
# The forecasts of each server; but for "busy" they are of memory.
FORECASTS = {
    "plain": [forecast("plain", HOUR, 52)],
    "blended": [forecast("blended", HOUR, 52, **RECIPE)],
    "withheld": [forecast("withheld", HOUR, 52, state="abstained")],
    "unmade": [forecast("unmade", HOUR, 52, **NONE_MADE)],
    "often": [forecast("often", HOUR + i * STEP, 52) for i in range(5)],
    "promoted": [
        forecast("promoted", HOUR + QUARTER, 52),
        forecast("promoted", HOUR, 52, model="m2"),
    ],
    "busy": [forecast("busy", HOUR, 2, metric="load_average")],
} | {name: [forecast(name, HOUR, 52)] for name in ("acted", "deployed", "mended", "paged", "seen")}
FORECASTS["rebooted"] = [forecast("rebooted", HOUR, 52)]
THEN = HOUR + timedelta(minutes=31)
MARKS: list[dict[str, Any]] = [
    {"kind": "acting", "server": "acted"},
    {"kind": "deploy", "pattern": "deploy*", "metric": "mem_used_pct"},
    {"kind": "remediation", "server": "mended", "ends_at": END},
    {"kind": "acting", "episode": "e1"},
    {"kind": "acting", "episode": "unknown"},
    {"kind": "acknowledged", "server": "seen"},
    {"kind": "acting", "server": "seen", "ts": HOUR - STEP},
]  # fmt: skip


def know(house: LakeFixture, *servers: str) -> None:
    house.put("server_facts", [{"server": s, "ts": HOUR, "profile": "web"} for s in servers])


def history(server: str) -> list[dict[str, Any]]:
    rows = steps(server, 50, SINCE, 34 * 12)
    for i, row in enumerate(rows):
        if server == "busy":
            row["load_average_mean"] = 1.0 + (i // 12) % 5
        if server == "rebooted":
            row["uptime_days_mean"] = 5.0 if i < len(rows) - 3 else 0.0
    return rows


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake whose servers were scored once; it is only read."""
    with house_at(tmp_path_factory.mktemp("scored")) as house:
        know(house, *FORECASTS)
        house.put("metrics_5m", [row for server in FORECASTS for row in history(server)])
        house.put("forecasts", [row for rows in FORECASTS.values() for row in rows])
        event = {"episode": "e1", "ts": HOUR, "event": "opened", "phase": "predicted"}
        house.put("alert_events", [event | {"server": "paged"}])
        house.put("marks", [{"mark": str(i), "ts": THEN} | row for i, row in enumerate(MARKS)])
        house.commit(END)
        run(house)
        yield house


def fill(house: LakeFixture, *servers: str, missing: int = 0) -> None:
    """A lake with roll-ups of each server, the last `missing` steps left out, and forecasts."""
    know(house, *servers)
    rows = [row for s in servers for row in steps(s, 50, HOUR - 12 * STEP, 24 - missing)]
    house.put("metrics_5m", rows)
    house.put("forecasts", [
        forecast(server, HOUR - i * QUARTER, 52) for server in servers for i in range(-1, 1)
    ])  # fmt: skip
    house.commit(END + timedelta(seconds=20))


def run(house: LakeFixture, now: datetime = SCORED_AT) -> Run:
    """Run the function until it has nothing more to do; the writer commits what it wrote."""
    made = Runner(house.folders, Settings()).run_whole(score, "test", now)
    assert made.error is None
    house.commit(now)
    return made


def rows_of(house: LakeFixture, server: str | None = None) -> list[dict[str, Any]]:
    rows = house.reader.query(
        "FROM scores WHERE server = coalesce($server, server) ORDER BY ALL", server=server
    )
    result: list[dict[str, Any]] = rows.to_pylist()
    return result


def test_an_hour_is_scored_next_to_the_naive_forecasts(scored: LakeFixture) -> None:
    (row,) = rows_of(scored, "plain")
    assert [row[name] for name in ("metric", "bucket", "model", "ts")] == [
        "mem_used_pct", 60, "m1", HOUR
    ]  # fmt: skip
    errors = [abs(52 - (50 + i)) for i in range(12)]
    naive = [abs(61 - (50 + i)) for i in range(12)]
    assert (row["targets"], row["samples"], row["abstained"]) == (12, 12 * 60, 0)
    assert [row[name] for name in ("error", "error_naive", "error_seasonal")] == [
        sum(errors), sum(naive), 0
    ]  # fmt: skip
    assert (row["inside_50"], row["inside_80"], row["inside_96"]) == (3, 5, 6)
    assert (row["loss_context"], row["scale"], row["within_10"]) == (None, 100, 12)


def test_served_and_calibrated_losses_follow_the_recipe(scored: LakeFixture) -> None:
    (row,) = rows_of(scored, "blended")
    assert row["error"] == sum(abs(53 - 50 - i) for i in range(12))
    assert row["loss_context"] == pytest.approx(sum(abs(4 - i) for i in range(12)))
    assert row["loss_seasonal_band"] == pytest.approx(sum(abs(5 - i) for i in range(12)))
    assert row["loss_last_band"] == pytest.approx(sum(abs(11 - i) for i in range(12)))
    assert row["inside_80_model"] == 5
    assert row["inside_80"] == 5  # 51 to 55: half of twice the width
    assert row["loss_calibrated"] < row["loss_model"]


@pytest.mark.parametrize(
    ("server", "acted_on"),
    [("plain", 0), ("acted", 6), ("deployed", 6), ("mended", 6), ("paged", 6), ("seen", 0),
     ("rebooted", 3)],
)  # fmt: skip
def test_targets_after_somebody_acted_are_counted_apart(
    scored: LakeFixture, server: str, acted_on: int
) -> None:
    (row,) = rows_of(scored, server)
    assert (row["targets"], row["acted_on"]) == (12 - acted_on, acted_on)


def test_a_forecast_that_was_withheld_is_scored_and_one_not_made_is_counted(
    scored: LakeFixture,
) -> None:
    names = ("targets", "shadow", "abstained", "error", "within_10")
    (withheld,), (unmade,) = rows_of(scored, "withheld"), rows_of(scored, "unmade")
    assert [withheld[name] for name in names] == [12, 12, 12, 48, 12]
    assert [unmade[name] for name in names] == [0, 0, 12, None, None]


def test_one_issue_of_each_quarter_of_an_hour_is_scored(scored: LakeFixture) -> None:
    assert [row["targets"] for row in rows_of(scored, "often")] == [12 + 9]


def test_each_model_has_rows_of_its_own(scored: LakeFixture) -> None:
    rows = rows_of(scored, "promoted")
    assert [(row["model"], row["targets"]) for row in rows] == [("m1", 9), ("m2", 12)]


def test_the_scale_of_other_metrics_is_the_range_of_the_server_itself(scored: LakeFixture) -> None:
    (row,) = rows_of(scored, "busy")
    assert (row["scale"], row["targets"], row["samples"]) == (4, 12, 0)


def test_an_hour_waits_for_its_last_step_but_not_for_ever(house: LakeFixture) -> None:
    assert run(house).batch.row_count == 0  # an empty lake is no error
    fill(house, "a", missing=1)
    assert run(house).batch.row_count == 0
    run(house, END + timedelta(minutes=16))
    assert [row["targets"] for row in rows_of(house)] == [11 + 8]


def test_truth_that_comes_late_is_scored_once_for_its_server_alone(house: LakeFixture) -> None:
    fill(house, "a", "b")
    run(house)
    house.put("metrics_5m", steps("a", 80, HOUR, 1, samples=61))
    house.commit(SCORED_AT + timedelta(minutes=1))
    late = run(house, SCORED_AT + timedelta(minutes=5))
    assert late.batch.rows["scores"]["server"].to_pylist() == ["a"]
    rows = {row["server"]: row for row in rows_of(house)}
    assert rows["a"]["samples"] == 12 * 60 + 1
    assert rows["a"]["error"] - rows["b"]["error"] == 28 - 2
    assert run(house, SCORED_AT + timedelta(minutes=10)).batch.row_count == 0
    # half of the forecasts may be deleted by then
    house.put("metrics_5m", steps("b", 80, HOUR, 1, samples=61))
    house.commit(HOUR + timedelta(hours=40, minutes=1))
    assert run(house, HOUR + timedelta(hours=40, minutes=2)).batch.row_count == 0


def test_a_run_that_was_killed_before_its_commit_is_repeated_with_equal_rows(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.score.MAX_SERVERS", 2)
    fill(house, *"abc")
    runner = Runner(house.folders, Settings())
    lost = runner.run(score, "test", SCORED_AT).batch.rows["scores"]
    for segment in house.folders.inbox.iterdir():
        segment.unlink()
    run(house)
    assert [row["server"] for row in rows_of(house)] == list("abc")
    assert rows_of(house)[:2] == lost.to_pylist()

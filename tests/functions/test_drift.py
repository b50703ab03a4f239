import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.drift import drift
from functions.engine.runner import Runner
from storage.config.settings import Settings
from storage.model.metrics import METRIC_NAMES
from tests.conftest import LakeFixture
from tests.functions.module_lakes import house_at

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
NOW = datetime(2026, 5, 14, 12, 30, tzinfo=UTC)  # a Thursday, ten days after a Monday
CHECKED = NOW.replace(minute=0)  # the end of the last complete hour
SERVERS = [f"web{i}" for i in range(6)]
METRICS = ("cpu_user_pct", "mem_used_pct", "swap_used_pct")
WORSE_FOR = 6  # hours


def score(server: str, metric: str, ts: datetime, loss: float) -> dict[str, Any]:
    sums = {"targets": 12, "moving": 12, "inside_96": 11, "scale": 100.0, "error": 12 * 4.0}
    lead = {"bucket": 60, "model": "m1", "loss_model": 12 * loss}
    return {"server": server, "metric": metric, "ts": ts} | lead | sums


def noise(random: np.random.Generator) -> float:
    return math.exp(0.1 * random.normal())


def past(random: np.random.Generator) -> list[dict[str, Any]]:
    """The rows of ten days of checks before the loss doubled."""
    until = CHECKED - WORSE_FOR * HOUR
    servers = [
        {"scope": "server", "name": s, "ts": until - n * HOUR, "losses": [
            noise(random) if metric in METRICS else None for metric in METRIC_NAMES
        ]}
        for s in SERVERS for n in range(10 * 24)
    ]  # fmt: skip
    return [*servers, {"scope": "fleet", "name": "fleet", "ts": until, "over_limit": 0}]


def readings(random: np.random.Generator) -> list[dict[str, Any]]:
    """Eight days of two servers, of which `web3` has another load since yesterday."""
    ages = [n * timedelta(minutes=30) for n in range(1, 8 * 48 + 1)]
    return [
        {
            "server": server, "ts": CHECKED - age, "mem_used_pct_mean": 40.0,
            "cpu_user_pct_mean": random.normal() + (50 if server == "web3" and age <= DAY else 20),
        }
        for server in ("web2", "web3") for age in ages
    ]  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake in which the loss doubled some hours ago; each of those hours was checked."""
    random = np.random.default_rng(0)
    with house_at(tmp_path_factory.mktemp("judged")) as house:
        house.put("scores", [
            score(s, m, CHECKED - n * HOUR, 2 * noise(random))
            for s in SERVERS for m in METRICS for n in range(1, WORSE_FOR + 1)
        ])  # fmt: skip
        house.put("drift", past(random))
        house.put("metrics_5m", readings(random))
        house.put("server_facts", [{"server": s, "ts": NOW, "profile": "web_api"} for s in SERVERS])
        house.commit(NOW)
        runner, more = Runner(house.folders, Settings()), True
        while more:
            run = runner.run(drift, "test", NOW)
            assert run.error is None, run.error
            runner.flush()
            house.commit(NOW)
            more = run.batch.more
        yield house


def rows(house: LakeFixture, scope: str) -> list[dict[str, Any]]:
    found = house.reader.query("SELECT * FROM drift WHERE scope = $scope ORDER BY ts", scope=scope)
    return [row for row in found.to_pylist() if row["model"]]


def test_each_hour_with_scores_is_checked_once_in_order(judged: LakeFixture) -> None:
    ends = [row["ts"] for row in rows(judged, "fleet")]
    assert ends == [CHECKED - n * HOUR for n in range(WORSE_FOR - 1, -1, -1)]
    again = Runner(judged.folders, Settings()).run(drift, "test", NOW)
    assert again.outcome == "nothing"


def test_a_fleet_whose_loss_doubled_drifts_after_three_checks_and_says_so(
    judged: LakeFixture,
) -> None:
    fleet = rows(judged, "fleet")
    counts = [row["over_limit"] for row in fleet]
    assert counts == [*[0] * counts.count(0), *range(1, WORSE_FOR + 1 - counts.count(0))]
    assert counts.count(0) <= 2
    assert [row["drifting"] for row in fleet] == [count >= 3 for count in counts]
    assert fleet[-1]["log_loss_ratio"] == pytest.approx(math.log(2) * WORSE_FOR / 12, abs=0.05)
    assert fleet[-1]["why"].startswith("forecasts lose 4")
    assert "more than in the reference week, at least" in fleet[-1]["why"]


def test_the_profile_of_enough_servers_is_checked_like_the_fleet(judged: LakeFixture) -> None:
    newest = rows(judged, "profile")[-1]
    assert (newest["name"], newest["drifting"]) == ("web_api", True)


def test_a_server_has_its_losses_and_its_own_ratio(judged: LakeFixture) -> None:
    newest = [row for row in rows(judged, "server") if row["ts"] == CHECKED]
    assert [row["name"] for row in newest] == SERVERS
    assert len(newest[0]["losses"]) == 14
    assert [value is not None for value in newest[0]["losses"]].count(True) == len(METRICS)


def test_the_measures_are_shown_and_name_the_server_that_changed(judged: LakeFixture) -> None:
    newest = {row["name"]: row for row in rows(judged, "server") if row["ts"] == CHECKED}
    assert newest["web2"]["prediction_error"] == pytest.approx(0.04)
    assert newest["web2"]["anomaly_rate"] == pytest.approx(1 / 12)
    assert newest["web2"]["distribution_shift"] < 0.2
    assert newest["web3"]["feature_drift"] == pytest.approx(1.0)
    assert newest["web3"]["why"].endswith(
        "its readings are others than in the week before (KS 1.00), most of all cpu_user_pct"
    )
    assert "readings" not in newest["web2"]["why"]
    assert newest["web1"]["distribution_shift"] is None  # it has no readings
    assert newest["web1"]["combined"] is None


def test_a_fleet_without_a_reference_week_is_not_judged(house: LakeFixture) -> None:
    house.put("scores", [score("a", "cpu_user_pct", CHECKED - HOUR, 1.0)])
    house.commit(NOW)
    run = Runner(house.folders, Settings()).run(drift, "test", NOW)
    assert run.error is None
    fleet, server = run.batch.rows["drift"].to_pylist()
    assert (fleet["log_loss_ratio"], fleet["drifting"]) == (None, False)
    assert fleet["why"].startswith("not judged yet: it needs three days of scores")
    assert server["losses"] == [1.0, *[None] * 13]


def test_the_newest_hour_waits_until_its_scores_have_settled(house: LakeFixture) -> None:
    house.put("scores", [score("a", "cpu_user_pct", CHECKED, 1.0)])
    house.commit(NOW)
    assert Runner(house.folders, Settings()).run(drift, "test", NOW).outcome == "nothing"

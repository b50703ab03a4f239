from datetime import timedelta
from typing import Any

import numpy as np

from functions.cascade import cascade
from functions.engine.runner import Run, Runner
from storage.config.settings import Settings
from storage.model.grid import STEP, floor_step
from tests.conftest import NOW, LakeFixture

ORIGIN = floor_step(NOW)
SERVERS = tuple(f"web{i}" for i in range(6))
EPISODES = (60, 130, 215, 276)


def fill(house: LakeFixture) -> None:
    """A day of roll-ups in which web4 is in trouble ten minutes after web1, four times."""
    rng = np.random.default_rng(3)
    facts = [{"server": name, "ts": NOW, "profile": "web_api"} for name in SERVERS]
    house.put("server_facts", facts)
    load = 2 + rng.normal(0, 0.1, (len(SERVERS), 288))
    for begin in EPISODES:
        load[1, begin : begin + 10] += 10
        load[4, begin + 2 : begin + 12] += 10
    house.put("metrics_5m", [
        {"server": name, "ts": ORIGIN - (288 - i) * STEP, "load_average_mean": float(value)}
        for name, series in zip(SERVERS, load, strict=True) for i, value in enumerate(series)
    ])  # fmt: skip


def breach(server: str, **more: Any) -> dict[str, Any]:
    since = {"ts": ORIGIN - 10 * STEP, "metric": "load_average", "level": "critical"}
    return {"server": server} | since | more


def run(house: LakeFixture, now: Any = NOW) -> Run:
    made = Runner(house.folders, Settings()).run(cascade, "test", now)
    assert made.error is None
    house.commit(now)
    return made


def test_the_cause_of_a_breach_is_linked_once_an_hour(house: LakeFixture) -> None:
    fill(house)
    house.put("breaches", [breach("web1"), breach("web4")])
    house.commit()
    run(house)
    (row,) = house.reader.query("FROM cascade_links").to_pylist()
    assert (row["downstream"], row["upstream"], row["ts"]) == ("web4", "web1", NOW)
    assert (row["upstream_metric"], row["downstream_metric"]) == ("load_average", "load_average")
    assert run(house, NOW + timedelta(seconds=60)).batch.row_count == 0


def test_nothing_is_read_while_no_two_servers_are_in_trouble(house: LakeFixture) -> None:
    fill(house)
    house.put("breaches", [breach("web4"), breach("web1", ended_at=NOW - timedelta(minutes=31))])
    house.commit()
    assert run(house).entry["rows_in"] == 1
    assert house.one("SELECT count(*) FROM cascade_links") == 0

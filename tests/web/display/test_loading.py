"""Servers whose history is being loaded: on the fleet page, their own page and in the exports."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from litestar.testing import TestClient

from functions.connectors.simulator import simulator
from functions.engine.runner import Runner
from functions.forecast import forecast
from functions.rollup import rollup
from functions.simulator.simulated_fleet import make_fleet
from storage.config.settings import Settings, SimulatorSettings, SourceSettings
from tests.conftest import LakeFixture
from tests.web.conftest import Client
from tests.web.pages.test_sources_page import SourceLog
from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app

DAY_S = 86_400
PROGRESS = r"Loading history, up to \d\d \w{3} \d\d:\d\d UTC \(75 %\)"


def row_of(page: str, server: str) -> str:
    return page.partition(f'data-server="{server}"')[2].partition("</tr>")[0]


@pytest.fixture
def log(lake: SiteLakeWriter) -> SourceLog:
    """Four days of history of which three are loaded, and a server that stopped long before."""
    log = SourceLog(lake)
    for server, days in (("behind", 1), ("stopped", 2)):
        log.lake.insert("server_facts", [{"server": server, "ts": log.ago(4 * DAY_S)}])
        sample = {"server": server, "ts": log.ago(days * DAY_S + 60), "source": "fleet"}
        log.lake.insert("metrics", [sample | {"mem_used_pct": 99.9}])
        log.lake.insert("metrics_5m", [{"server": server, "ts": log.ago((days + 1) * DAY_S)}])
    log.file("fleet", "live")
    log.committed("fleet", 4 * DAY_S, 2 * DAY_S, made=10)
    log.committed("fleet", 2 * DAY_S, DAY_S, made=0)
    return log


def test_a_server_whose_history_is_being_loaded_says_how_far_it_is(
    log: SourceLog, site: Client
) -> None:
    log.ran("fleet", 3, "ok")
    row = row_of(site.get("/").text, "behind")
    assert re.search(PROGRESS, row)
    assert "No data since" not in row
    page = site.get("/servers/behind").text
    assert re.search(PROGRESS, page)
    assert "No data since" not in page
    statuses = {row["server"]: row["shown_as"] for row in site.get("/fleet.json").json()}
    assert statuses == {"behind": "Loading history", "stopped": "No data"}
    assert not site.get("/servers/behind.json").json()["no_data"]


def test_a_server_that_stopped_before_has_no_data_though_its_source_loads(
    log: SourceLog, site: Client
) -> None:
    log.ran("fleet", 3, "ok")
    assert "No data since" in row_of(site.get("/").text, "stopped")
    assert "No data since" in site.get("/servers/stopped").text


def test_a_source_with_a_problem_is_not_loading(log: SourceLog, site: Client) -> None:
    log.ran("fleet", 3, "unreachable", "it does not answer")
    assert "No data since" in row_of(site.get("/").text, "behind")
    assert "No data since" in site.get("/servers/behind").text


class Loaded:
    """A simulated fleet with eight days of history, which come in portions."""

    def __init__(self, house: LakeFixture) -> None:
        fleet = SimulatorSettings(enabled=True, servers=60)
        self.house, self.runner = house, Runner(
            house.folders, Settings(sources=SourceSettings(simulator=fleet))
        )  # fmt: skip

    def run(self, *functions) -> None:
        for function in functions:
            assert self.runner.run(function, "test").error is None
            self.runner.flush()
            self.house.commit(datetime.now(UTC))

    def live(self, server: str) -> None:
        """Samples of another server up to now: there is an origin to forecast from."""
        now = datetime.now(UTC)
        rows = [{"server": server, "ts": now - i * timedelta(seconds=30)} for i in range(200)]
        self.house.put("metrics", [row | {"mem_used_pct": 50.0} for row in rows], created_at=now)
        self.house.commit(now)

    def states(self) -> set[str]:
        rows = self.house.reader.query("SELECT forecast_state FROM fleet_now WHERE server != 'box'")
        return set(rows["forecast_state"].to_pylist())


def test_while_portions_come_the_pages_say_so_and_the_first_forecast_follows_the_last(
    house: LakeFixture,
) -> None:
    name, scene = make_fleet(60, seed=7)[0].name, Loaded(house)
    scene.live("box")
    with TestClient(create_app(house.folders.data), "http://127.0.0.1") as site:
        for portion in range(3):
            scene.run(simulator)
            if portion < 2:
                assert "Loading history, up to" in row_of(site.get("/").text, name)
                assert "Loading history, up to" in site.get(f"/servers/{name}").text
            scene.run(rollup, forecast)
            assert scene.states() == ({"abstained"} if portion < 2 else {"ok"})
        assert "oading history" not in row_of(site.get("/").text, name)
        page = site.get(f"/servers/{name}").text
    assert '<path class="median"' in page
    assert "No data since" not in page

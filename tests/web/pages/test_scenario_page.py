"""The scenario page: off, what plays and runs, and a switch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from functions.simulator.incidents import SCENARIOS
from storage.ipc.rpc import serve_rpc
from tests.web.conftest import Client
from tests.web.site_lakes import HOSTILE, SiteLakeWriter
from web.pages.scenario_page import FIRST, MEANINGS
from web.rendering import server_path

NOW = datetime.now(UTC)
ON = "[sources.simulator]\nenabled = true\n"


def test_every_scenario_of_the_simulator_has_its_button() -> None:
    assert tuple(MEANINGS) == SCENARIOS
    assert FIRST in SCENARIOS


def test_without_the_simulator_the_page_says_how_to_turn_it_on(site: Client) -> None:
    text = site.get("/scenario", headers={"HX-Request": "true"}).text
    assert 'data-state="simulator-off"' in text
    assert "<form" not in text
    assert "<html" not in text


def test_what_plays_and_what_was_injected_is_shown(lake: SiteLakeWriter, site: Client) -> None:
    lake.folders.settings.write_text(ON)
    assert "plays mixed" in site.get("/scenario").text
    assert 'data-state="no-incidents"' in site.get("/scenario").text
    lake.insert("scenarios", [{"ts": NOW - timedelta(hours=1), "scenario": "cascade"}])
    hour = timedelta(hours=1)
    truth = {"server": HOSTILE, "kind": "memory_leak", "starts_at": NOW - hour, "peaks_at": NOW}
    lake.insert("truth", [
        truth | {"incident_id": "on", "ends_at": NOW + hour, "metrics": ["mem_used_pct"]},
        truth | {"incident_id": "over", "ends_at": NOW - hour / 2},
    ])  # fmt: skip
    text = site.get("/scenario").text
    assert "plays cascade since" in text
    assert f'href="{server_path(HOSTILE)}"' in text
    assert "memory leak" in text
    assert "1 incident." in text
    assert 'data-incident="over"' not in text


def test_a_button_switches_it_in_the_engine(lake: SiteLakeWriter, site: Client) -> None:
    lake.folders.settings.write_text(ON)
    calls: list[dict[str, Any]] = []

    def engine(call: bytes) -> tuple[int, bytes]:
        calls.append(msgspec.json.decode(call))
        return 200, b"{}"

    with serve_rpc(lake.folders.rpc_socket, engine):
        text = site.post("/scenario", data={"scenario": "critical"}).text
    assert "critical plays from now on" in text
    assert (calls[0]["name"], calls[0]["body"]) == ("scenario", {"scenario": "critical"})

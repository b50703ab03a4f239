"""The state in title and icon: open episodes and the worst of them."""

from datetime import UTC, datetime
from pathlib import Path

from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from web.lake_session import LakeSession
from web.open_state import OpenState, open_state
from web.rendering import STATIC

NOW = datetime.now(UTC)


def event(episode: str, severity: str, phase: str = "predicted") -> dict[str, object]:
    return {
        "episode": episode, "ts": NOW, "event": "opened", "phase": phase, "server": "web-07.shop",
        "severity": severity,
    }  # fmt: skip


def test_without_a_lake_nothing_is_open(tmp_path: Path) -> None:
    assert open_state(LakeSession(tmp_path / "var"), NOW) == OpenState()


def test_title_icon_and_header_have_the_open_episodes(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet()
    events = [event("a", "Danger"), event("b", "Critical"), event("c", "Watch", "over")]
    lake.insert("alert_events", events)
    answer = site.get("/settings")
    assert "<title>(2) Settings" in answer.text
    assert 'href="/static/icon-critical.svg' in answer.text
    assert answer.headers["hoursight-state"] == "2 icon-critical.svg"
    assert "2 open episodes" in site.get("/").text


def test_every_level_has_an_icon() -> None:
    for slug in ("imminent", "critical", "danger", "warning", "watch", ""):
        assert (STATIC / OpenState(1, slug).icon).exists()

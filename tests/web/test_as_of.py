"""The site's queries about an earlier time: what came later does not count."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.model.grid import STEP
from storage.model.schema import table
from tests.web.site_lakes import FLEET, ROWS, LakeServer, SiteLakeWriter
from web.display.source_status import read_sources
from web.display.spans import usual_span
from web.display.system_status import system_status
from web.lake_session import LakeSession, sql
from web.pages.fleet_page import FleetFilter, read_fleet
from web.pages.server_view import ServerNotFound, read_server

THEN = datetime.now(UTC) - timedelta(hours=2)
LATER = THEN + timedelta(hours=2)
CHANGED = "nginx-1"


def changed(server: LakeServer) -> LakeServer:
    """The same server, with high scores and another profile."""
    return replace(server, profile="database", now_score=88.0, ahead_score=95.0, state="early")


def write_system_events(writer: SiteLakeWriter, ts: datetime, event: str) -> None:
    """Write the end of a process, a source with its run, and a model."""
    writer.insert("processes", [{"ts": ts, "process": "collect", "event": "ended"}])
    writer.insert("sources", [{"ts": ts, "source": "host", "event": event, "kind": "files"}])
    writer.insert("runs", [{"ts": ts, "function": "host", "outcome": event, "trigger": "clock"}])
    writer.insert("models", [{"ts": ts, "model": "m1", "event": event, "path": "m1.onnx"}])


def write_what_came_later(writer: SiteLakeWriter) -> None:
    servers = [changed(server) for server in FLEET] + [LakeServer("later-1", "web_api", 30.0, 30.0)]
    for name, rows_of in ROWS.items():
        time = table(name).time
        rows = [row for server in servers for row in rows_of(server, LATER)]
        if name == "server_facts":
            rows = [row | {"ts": LATER} for row in rows]
        known_after = STEP if name == "metrics_5m" else timedelta(0)
        writer.insert(name, [row for row in rows if row[time] + known_after > THEN])


@pytest.fixture
def two_states(lake: SiteLakeWriter) -> tuple[LakeSession, dict[str, Any]]:
    """The lake after a second state was written, and what was read of it before."""
    lake.fleet(now=THEN)
    write_system_events(lake, THEN, "serving")
    session = LakeSession(lake.folders.data)
    before = state(session)
    write_what_came_later(lake)
    write_system_events(lake, LATER, "refused")
    return session, before


def state(lake: LakeSession) -> dict[str, Any]:
    """Everything that the fleet, a server, the sources and the status show as of THEN."""
    fleet = read_fleet(lake, FleetFilter(), THEN)
    server = read_server(lake, CHANGED, THEN, usual_span(THEN))
    with lake.snapshot() as reader:
        status = system_status(reader, lake.folders, THEN)
        sources = read_sources(reader, THEN)
        points = reader.query(
            sql("server_points"), server=CHANGED, start=THEN - timedelta(hours=24), now=THEN
        )
    return {
        "rows": fleet.rows, "counts": fleet.counts, "server": server.server,
        "charts": server.charts.as_json(), "sources": sources,
        "points": points, "newest": status.newest_sample, "outages": status.outages,
        "model_refused": status.model_refused,
    }  # fmt: skip


def test_an_earlier_time_shows_the_earlier_state(
    two_states: tuple[LakeSession, dict[str, Any]],
) -> None:
    lake, before = two_states
    after = state(lake)
    for name, value in before.items():
        assert str(after[name]) == str(value), name
    assert before["points"].num_rows
    assert before["sources"]


def test_the_present_shows_the_later_state(two_states: tuple[LakeSession, dict[str, Any]]) -> None:
    lake, before = two_states
    now = read_server(lake, CHANGED, LATER, usual_span(LATER)).server
    assert (before["server"].profile, now.profile) == ("web_api", "database")
    assert (before["server"].now_score, now.now_score) == (8.0, 88.0)
    assert read_server(lake, "later-1", LATER, usual_span(LATER)).server.profile == "web_api"


def test_a_server_is_unknown_before_its_first_facts(
    two_states: tuple[LakeSession, dict[str, Any]],
) -> None:
    lake, _ = two_states
    early = THEN - timedelta(days=8, seconds=1)
    with pytest.raises(ServerNotFound):
        read_server(lake, CHANGED, early, usual_span(early))
    assert read_fleet(lake, FleetFilter(), early).total == 0

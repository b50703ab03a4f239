"""The fleet as one table: the same as the query behind it, and in the order of the texts."""

from datetime import UTC, datetime, timedelta

import pytest

from storage.model.severity import HEALTH_STATUSES
from tests.web.site_lakes import FLEET, LakeServer, SiteLakeWriter
from web.display.fleet_table import FLEET_COLUMNS, FleetTable, fleet_table
from web.display.server_status import server_status
from web.display.tags import Tags
from web.kept_results import KeptResults
from web.lake_session import LakeSession, sql

NOW = datetime.now(UTC)
NO_TAGS = Tags({})
SLOWER = LakeServer("slow", now_score=75.0, odds=(0.5,) * 5, breach=("mem_used_pct", 20, 60, 90))
SOONER = LakeServer("soon", now_score=71.0, odds=(0.5,) * 5, breach=("mem_used_pct", 10, 60, 90))


def read(lake: SiteLakeWriter, now: datetime = NOW) -> FleetTable:
    with LakeSession(lake.folders.data).snapshot() as reader:
        return fleet_table(reader, KeptResults(), now, NO_TAGS, False)


def test_it_has_the_rows_of_the_query_behind_it(fleet: SiteLakeWriter) -> None:
    with LakeSession(fleet.folders.data).snapshot() as reader:
        expected = reader.query(sql("fleet"), now=NOW).sort_by("server")
    rows = read(fleet).rows.sort_by("server")
    assert rows.column_names[:FLEET_COLUMNS] == expected.column_names
    assert rows.select(expected.column_names).to_pylist() == expected.to_pylist()


def test_health_and_time_to_act_are_those_of_the_texts(lake: SiteLakeWriter) -> None:
    lake.fleet([*FLEET, SLOWER, SOONER], NOW)
    rows = read(lake).rows.to_pylist()
    assert {status.slug for status in HEALTH_STATUSES} >= {row["health"] for row in rows}
    for row in rows:
        server = server_status(row, NOW)
        assert row["health"] == server.health.slug
        assert row["act_minutes"] == pytest.approx(server.act_minutes, abs=0.02)


def test_within_a_severity_the_one_that_must_be_acted_on_first_comes_first(
    lake: SiteLakeWriter,
) -> None:
    lake.fleet([SLOWER, SOONER], NOW)
    assert read(lake).rows["server"].to_pylist() == ["soon", "slow"]


def test_a_change_of_severity_a_new_server_and_one_that_went_silent_are_changes(
    lake: SiteLakeWriter,
) -> None:
    worse = LakeServer("worse", now_score=75.0)
    lake.fleet([worse, LakeServer("silent", age=timedelta(minutes=9)), LakeServer("same")], NOW)
    before = {"server": "worse", "issued_at": NOW - timedelta(minutes=12), "severity": "Healthy"}
    lake.insert("risks", [before])
    lake.insert("server_facts", [{"server": "born", "ts": NOW - timedelta(minutes=1)}])
    changes = {row["server"]: row["change"] for row in read(lake).rows.to_pylist()}
    assert changes == {
        "worse": "was Healthy", "silent": "went silent", "same": None, "born": "new",
    }  # fmt: skip


def test_a_refused_model_leaves_the_present_score(lake: SiteLakeWriter) -> None:
    lake.fleet([LakeServer("a", now_score=10.0, ahead_score=95.0)], NOW)
    with LakeSession(lake.folders.data).snapshot() as reader:
        rows = fleet_table(reader, KeptResults(), NOW, NO_TAGS, True).rows.to_pylist()
    assert rows[0]["health"] == "healthy"
    assert rows[0]["blind"]

"""`/metrics`: what Prometheus finds there, in each state of the lake."""

import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.engine import function_catalog
from functions.engine.run_log import FAILURES, NOT_COUNTED, SUSPEND_AFTER
from storage.config.folders import Folders
from tests.web.site_lakes import HOSTILE, LakeServer, SiteLakeWriter
from web.lake_session import LakeSession, sql
from web.telemetry.telemetry import BUILT_IN, SUSPENDED_AFTER, Telemetry

NOW = datetime.now(UTC)
PROMTOOL = shutil.which("promtool")
DOCUMENT = Path(__file__).parents[3] / "docs" / "monitoring.md"
SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)$")


def values(text: str) -> dict[str, float]:
    """The samples of an exposition by series."""
    samples = [SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(samples), text
    return {f"{m[1]}{m[2] or ''}": float(m[3]) for m in samples if m}


def segment_row(**values: Any) -> dict[str, Any]:
    return {
        "batch_id": uuid.uuid4().hex, "table_name": "metrics", "function": "fleet", "ts": NOW,
        "rows_in": 10, "rows_committed": 8, "rows_refused": 2, "values_repeated": 3,
        "outcome": "committed",
    } | values  # fmt: skip


def run_row(outcome: str, seconds_ago: float = 1.0, **values: Any) -> dict[str, Any]:
    return {
        "run_id": uuid.uuid4().hex, "function": "mine", "code_hash": "c1", "outcome": outcome,
        "ts": NOW - timedelta(seconds=seconds_ago), "duration_ms": 500.0, "cpu_s": 0.25,
    } | values  # fmt: skip


def scrape(telemetry: Telemetry, now: datetime = NOW) -> Mapping[str, float]:
    return values(telemetry.text(now))


def telemetry_of(lake: SiteLakeWriter) -> Telemetry:
    return Telemetry(LakeSession(lake.folders.data))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake.fleet())
    scrape(telemetry)
    lake.insert("segments", [segment_row(), segment_row(table_name="forecasts", last_ts=NOW)])
    lake.insert("runs", [run_row("ok"), run_row("failed")])
    lake.insert("models", [{"ts": NOW, "model": "abc", "event": "serving"}])
    lake.insert("processes", [{"process": "engine", "ts": NOW, "event": "started", "pid": 1}])
    text = telemetry.text(NOW)
    done = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(text.splitlines()) > 60


def test_an_unchanged_lake_is_not_read_again(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake.fleet())
    first = scrape(telemetry)
    later = scrape(telemetry, NOW + timedelta(minutes=10))
    assert later["hoursight_servers"] == first["hoursight_servers"]
    assert later["hoursight_servers_reporting"] == 0
    grown = "hoursight_newest_sample_age_seconds"
    assert later[grown] - first[grown] == pytest.approx(600)


def test_lag_and_forecast_age_come_from_the_newest_rows(lake: SiteLakeWriter) -> None:
    lake.insert(
        "segments",
        [
            segment_row(last_ts=NOW - timedelta(seconds=30)),
            segment_row(last_ts=NOW - timedelta(seconds=90)),
            segment_row(table_name="forecasts", last_ts=NOW - timedelta(seconds=200)),
        ],
    )
    samples = scrape(telemetry_of(lake))
    assert samples['hoursight_source_lag_seconds{source="fleet"}'] == pytest.approx(30)
    assert samples["hoursight_forecast_age_seconds"] == pytest.approx(200)


@pytest.mark.parametrize(
    ("outcomes", "failures"),
    [
        (["ok"] + 5 * ["failed"], 5), (5 * ["failed"] + ["ok"], 0),
        (5 * ["failed"] + ["resumed"], 0), (5 * ["failed"] + ["revived"], 0),
        (["failed", "unreachable", "crashed", "not written"], 2), (["ok", "nothing"], 0),
    ],
)  # fmt: skip
def test_failures_in_a_row_are_counted_as_the_engine_counts_them(
    lake: SiteLakeWriter, outcomes: list[str], failures: int
) -> None:
    runs = [run_row(o, seconds_ago=60 - i) for i, o in enumerate(outcomes)]
    lake.insert("runs", [run_row("failed", 100, code_hash="old"), *runs])
    samples = scrape(telemetry_of(lake))
    assert samples['hoursight_function_failures_in_a_row{function="mine"}'] == failures
    assert samples["hoursight_functions_suspended"] == (failures >= 5)


def test_the_rules_of_the_engine_are_those_of_the_page() -> None:
    text = sql("telemetry_failures")
    assert all(f"'{outcome}'" in text for outcome in FAILURES | NOT_COUNTED)
    assert SUSPEND_AFTER == SUSPENDED_AFTER
    assert {function.name for function in function_catalog.engine_functions()} == BUILT_IN


def test_without_a_lake_it_says_so(tmp_path: Path) -> None:
    samples = values(Telemetry(LakeSession(tmp_path / "nothing")).text(NOW))
    assert samples["hoursight_up"] == 0
    assert samples['hoursight_lake_state{state="missing"}'] == 1
    assert samples['hoursight_process_resident_memory_bytes{process="web"}'] > 1 << 20
    assert "hoursight_servers" not in samples


def test_a_lake_that_cannot_be_read_is_no_error_of_the_page(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake.fleet())
    assert scrape(telemetry)["hoursight_up"] == 1
    catalog = lake.folders.catalog
    catalog.rename(catalog.with_suffix(".away"))
    catalog.write_bytes(b"damaged" * 1000)
    samples = scrape(telemetry)
    assert samples["hoursight_up"] == 0
    assert samples['hoursight_lake_state{state="unreadable"}'] == 1
    assert "hoursight_servers" not in samples


def test_the_backlog_is_counted_from_the_folders(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    (folders.inbox / "a.parquet").write_bytes(b"12345")
    (folders.inbox / "b.parquet.partial").write_bytes(b"not counted")
    folders.pending.mkdir()
    (folders.pending / "c.push").write_bytes(b"123")
    samples = values(
        Telemetry(LakeSession(tmp_path)).text(datetime.now(UTC) + timedelta(seconds=60))
    )
    assert samples["hoursight_inbox_segments"] == 1
    assert samples["hoursight_inbox_bytes"] == 5
    assert samples["hoursight_inbox_oldest_age_seconds"] == pytest.approx(60, abs=30)
    assert samples["hoursight_pending_bytes"] == 3


def test_processes_of_this_host_show_memory_and_cpu_others_do_not(lake: SiteLakeWriter) -> None:
    with subprocess.Popen(["sleep", "100"]) as ours:
        began = {"process": "engine", "event": "started", "pid": ours.pid}
        theirs = {"process": "writer", "event": "started", "pid": ours.pid}
        lake.insert(
            "processes",
            [began | {"ts": datetime.now(UTC)}, theirs | {"ts": NOW - timedelta(hours=1)}],
        )
        samples = scrape(telemetry_of(lake))
        ours.kill()
    assert samples['hoursight_process_up{process="engine"}'] == 1
    assert samples['hoursight_process_starts_total{process="engine"}'] == 1
    assert samples['hoursight_process_resident_memory_bytes{process="engine"}'] > 0
    assert 'hoursight_process_resident_memory_bytes{process="writer"}' not in samples


def test_hostile_names_break_no_line(lake: SiteLakeWriter) -> None:
    hostile = 'a"} 1\nhoursight_up 7\\\x00'
    lake.insert("segments", [segment_row(function=hostile, last_ts=NOW)])
    lake.fleet([LakeServer(HOSTILE)])
    samples = scrape(telemetry_of(lake))
    assert samples["hoursight_up"] == 1
    assert (
        samples['hoursight_source_lag_seconds{source="a\\"} 1\\nhoursight_up 7\\\\\\\\x00"}'] < 60
    )


def test_a_scrape_of_a_thousand_servers_takes_less_than_100_ms_of_cpu(lake: SiteLakeWriter) -> None:
    lake.fleet([LakeServer(f"server-{i}", steps=1) for i in range(1000)])
    telemetry = telemetry_of(lake)
    scrape(telemetry)
    took = []
    for _ in range(5):
        lake.insert("segments", [segment_row(ts=datetime.now(UTC))])
        lake.insert("metrics", [{"server": "server-1", "ts": datetime.now(UTC)}])
        began = time.process_time()
        scrape(telemetry, datetime.now(UTC))
        took.append(time.process_time() - began)
    assert min(took) < 0.1


def _odds(server: str, minutes_ago: float, **values: Any) -> dict[str, Any]:
    return {
        "server": server, "metric": "mem_used_pct", "level": 90.0,
        "issued_at": NOW - timedelta(minutes=minutes_ago),
        "p_30m": 0.25, "p_60m": None, "checked": True, "value": 71.0,
        "earliest": NOW + timedelta(minutes=10), "likely": NOW - timedelta(minutes=1),
    } | values  # fmt: skip


def test_odds_and_the_time_left_are_gauges(lake: SiteLakeWriter) -> None:
    lake.insert("odds", [_odds("a", 7, p_30m=0.9), _odds("a", 2), _odds("b", 2, checked=False)])
    found = scrape(telemetry_of(lake))
    of = 'server="a",metric="mem_used_pct"'
    assert found[f'hoursight_breach_probability{{{of},within="30m"}}'] == 0.25
    assert f'hoursight_breach_probability{{{of},within="60m"}}' not in found
    assert found[f'hoursight_runway_seconds{{{of},bound="earliest"}}'] == 600
    assert found[f'hoursight_runway_seconds{{{of},bound="likely"}}'] == 0
    assert f'hoursight_runway_seconds{{{of},bound="latest"}}' not in found
    assert found['hoursight_odds_checked{metric="mem_used_pct"}'] == 0


def test_odds_that_are_late_vanish(lake: SiteLakeWriter) -> None:
    lake.insert("odds", [_odds("a", 2)])
    telemetry = telemetry_of(lake)
    assert "hoursight_breach_probability" in telemetry.text(NOW)
    assert "hoursight_breach_probability" not in telemetry.text(NOW + timedelta(minutes=14))

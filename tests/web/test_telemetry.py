"""`/metrics`: what Prometheus finds there, in each state of the lake."""

import re
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from litestar.testing import TestClient

from functions.engine import function_catalog
from functions.engine.run_log import FAILURES, NOT_COUNTED, SUSPEND_AFTER
from scripts.ports import free_port
from storage.config.folders import Folders
from tests.functions.prometheus_server import PrometheusServer, needs_prometheus, until
from tests.web.conftest import Client
from tests.web.site_lakes import HOSTILE, LakeServer, SiteLakeWriter
from web.app import create_app
from web.exposition import Measure, Values, exposed
from web.lake_session import LakeSession, sql
from web.telemetry import BUILT_IN, MEASURES, SUSPENDED_AFTER, Telemetry

NOW = datetime.now(UTC)
PROMTOOL = shutil.which("promtool")
DOCUMENT = Path(__file__).parents[2] / "docs" / "monitoring.md"
SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)$")


def values(text: str) -> dict[str, float]:
    """The samples of an exposition by series."""
    found = [SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(found), text
    return {f"{m[1]}{m[2] or ''}": float(m[3]) for m in found if m}


def segment_row(**told: Any) -> dict[str, Any]:
    return {
        "batch_id": uuid.uuid4().hex, "table_name": "metrics", "function": "fleet", "ts": NOW,
        "rows_in": 10, "rows_committed": 8, "rows_refused": 2, "outcome": "committed",
    } | told  # fmt: skip


def run_row(outcome: str, seconds_ago: float = 1.0, **told: Any) -> dict[str, Any]:
    return {
        "run_id": uuid.uuid4().hex, "function": "mine", "code_hash": "c1", "outcome": outcome,
        "ts": NOW - timedelta(seconds=seconds_ago), "duration_ms": 500.0, "cpu_s": 0.25,
    } | told  # fmt: skip


def scrape(telemetry: Telemetry, now: datetime = NOW) -> Mapping[str, float]:
    return values(telemetry.text(now))


def telemetry_of(lake: SiteLakeWriter) -> Telemetry:
    return Telemetry(LakeSession(lake.folders.data))


def test_the_site_serves_the_text_format(client: Client) -> None:
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = values(reply.text)
    assert found["hoursight_up"] == 1
    assert found["hoursight_servers"] == 9
    assert found["hoursight_servers_reporting"] == 8  # gpu-node-3 is silent
    assert 0 < found["hoursight_newest_sample_age_seconds"] < 120


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


@needs_prometheus
def test_prometheus_scrapes_it(lake: SiteLakeWriter, tmp_path: Path) -> None:
    port = free_port()
    app = create_app(lake.fleet().folders.data)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    prometheus = PrometheusServer(
        tmp_path,
        "scrape_configs: [{job_name: hoursight, scrape_interval: 1s, static_configs: "
        f"[{{targets: ['127.0.0.1:{port}']}}]}}]",
    )
    try:
        prometheus.start()

        def scraped() -> Any:
            reply = prometheus.client.get("/api/v1/query", params={"query": "hoursight_servers"})
            return reply.json()["data"]["result"]

        (series,) = until(scraped, "the first scrape")
        assert series["value"][1] == "9"
    finally:
        prometheus.close()
        server.should_exit = True
        app.state.live.close()
        thread.join()


def test_counters_grow_by_what_was_added_and_survive_retention(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake)
    lake.insert("segments", [segment_row()])
    lake.insert("runs", [run_row("ok")])
    scrape(telemetry)
    lake.insert("segments", [segment_row(), segment_row(outcome="rejected", table_name=None)])
    lake.insert("runs", [run_row("ok"), run_row("failed")])
    found = scrape(telemetry)
    assert found['hoursight_source_rows_total{source="fleet"}'] == 8
    assert found['hoursight_source_refused_total{source="fleet"}'] == 2
    assert found['hoursight_function_runs_total{function="mine",outcome="failed"}'] == 1
    assert found['hoursight_function_duration_seconds_sum{function="mine"}'] == 1.0
    assert found['hoursight_function_duration_seconds_count{function="mine"}'] == 2
    lake.connection.execute("DELETE FROM segments; DELETE FROM runs")
    lake.insert("segments", [segment_row()])
    assert scrape(telemetry)['hoursight_source_rows_total{source="fleet"}'] == 16


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
    found = scrape(telemetry_of(lake))
    assert found['hoursight_source_lag_seconds{source="fleet"}'] == pytest.approx(30)
    assert found["hoursight_forecast_age_seconds"] == pytest.approx(200)


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
    found = scrape(telemetry_of(lake))
    assert found['hoursight_function_failures_in_a_row{function="mine"}'] == failures
    assert found["hoursight_functions_suspended"] == (failures >= 5)


def test_the_rules_of_the_engine_are_those_of_the_page() -> None:
    text = sql("telemetry_failures")
    assert all(f"'{outcome}'" in text for outcome in FAILURES | NOT_COUNTED)
    assert SUSPEND_AFTER == SUSPENDED_AFTER
    assert {function.name for function in function_catalog.engine_functions()} == BUILT_IN


def test_without_a_lake_it_says_so(tmp_path: Path) -> None:
    found = values(Telemetry(LakeSession(tmp_path / "nothing")).text(NOW))
    assert found["hoursight_up"] == 0
    assert found['hoursight_lake_state{state="missing"}'] == 1
    assert found['hoursight_process_resident_memory_bytes{process="web"}'] > 1 << 20
    assert "hoursight_servers" not in found


def test_a_lake_that_cannot_be_read_is_no_error_of_the_page(lake: SiteLakeWriter) -> None:
    telemetry = telemetry_of(lake.fleet())
    assert scrape(telemetry)["hoursight_up"] == 1
    catalog = lake.folders.catalog
    catalog.rename(catalog.with_suffix(".away"))
    catalog.write_bytes(b"damaged" * 1000)
    found = scrape(telemetry)
    assert found["hoursight_up"] == 0
    assert found['hoursight_lake_state{state="unreadable"}'] == 1
    assert "hoursight_servers" not in found


def test_the_backlog_is_counted_from_the_folders(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    (folders.inbox / "a.parquet").write_bytes(b"12345")
    (folders.inbox / "b.parquet.partial").write_bytes(b"not counted")
    folders.pending.mkdir()
    (folders.pending / "c.push").write_bytes(b"123")
    found = values(Telemetry(LakeSession(tmp_path)).text(datetime.now(UTC) + timedelta(seconds=60)))
    assert found["hoursight_inbox_segments"] == 1
    assert found["hoursight_inbox_bytes"] == 5
    assert found["hoursight_inbox_oldest_age_seconds"] == pytest.approx(60, abs=30)
    assert found["hoursight_pending_bytes"] == 3


def test_processes_of_this_host_show_memory_and_cpu_others_do_not(lake: SiteLakeWriter) -> None:
    with subprocess.Popen(["sleep", "100"]) as ours:
        began = {"process": "engine", "event": "started", "pid": ours.pid}
        theirs = {"process": "writer", "event": "started", "pid": ours.pid}
        lake.insert(
            "processes",
            [began | {"ts": datetime.now(UTC)}, theirs | {"ts": NOW - timedelta(hours=1)}],
        )
        found = scrape(telemetry_of(lake))
        ours.kill()
    assert found['hoursight_process_up{process="engine"}'] == 1
    assert found['hoursight_process_starts_total{process="engine"}'] == 1
    assert found['hoursight_process_resident_memory_bytes{process="engine"}'] > 0
    assert 'hoursight_process_resident_memory_bytes{process="writer"}' not in found


def test_hostile_names_break_no_line(lake: SiteLakeWriter) -> None:
    hostile = 'a"} 1\nhoursight_up 7\\\x00'
    lake.insert("segments", [segment_row(function=hostile, last_ts=NOW)])
    lake.fleet([LakeServer(HOSTILE)])
    found = scrape(telemetry_of(lake))
    assert found["hoursight_up"] == 1
    assert found['hoursight_source_lag_seconds{source="a\\"} 1\\nhoursight_up 7\\\\\\\\x00"}'] < 60


def test_numbers_are_written_as_prometheus_reads_them() -> None:
    measures = [Measure("a", "gauge", "A.", ("of",))]
    given: Values = {"a": {("1",): 0.5, ("2",): 3.0, ("3",): float("inf"), ("4",): float("nan")}}
    lines = exposed(measures, given).splitlines()[2:]
    assert [line.split()[1] for line in lines] == ["0.5", "3", "+Inf", "NaN"]


def test_who_may_read_the_site_may_scrape_it(lake: SiteLakeWriter) -> None:
    with TestClient(create_app(lake.folders.data, exposed=True), "http://127.0.0.1") as site:
        reply = site.get("/metrics")
    assert reply.status_code == 401
    assert reply.headers["content-type"].startswith("application/json")


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


def test_another_lake_in_its_place_is_no_jump_of_the_counters(
    lake: SiteLakeWriter, tmp_path: Path
) -> None:
    telemetry, series = telemetry_of(lake), 'hoursight_source_rows_total{source="fleet"}'
    lake.insert("segments", [segment_row() for _ in range(5)])
    lake.insert("segments", [segment_row()])
    scrape(telemetry)
    lake.close()
    other = SiteLakeWriter(tmp_path / "other")
    other.insert("segments", [segment_row()])
    other.close()
    shutil.rmtree(lake.folders.data)
    other.folders.data.rename(lake.folders.data)
    assert scrape(telemetry)[series] == 0
    again = SiteLakeWriter(lake.folders.data)
    again.insert("segments", [segment_row()])
    again.close()
    assert scrape(telemetry)[series] == 8


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_the_alerts_of_the_document_are_rules(tmp_path: Path) -> None:
    _, rules = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "rules.yml").write_text(rules)
    done = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "SUCCESS: 10 rules found" in done.stdout, done.stderr
    series = {name for measure in MEASURES for name in measure.series}
    assert set(re.findall(r"\bhoursight_\w+", rules)) <= series


def test_every_metric_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `(hoursight_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(m.name, ",".join(m.labels), m.kind) for m in MEASURES]

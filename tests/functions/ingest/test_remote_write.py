"""A real Prometheus scrapes a real node_exporter and writes to the site; the lake is counted."""

import json
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from functions.ingest.ingest_service import serve_ingest
from functions.ingest.remote_write import WriteRequest, read_series
from scripts.ports import free_port
from storage.config.api_keys import create_key
from storage.model.reject_log import RejectLog
from tests.conftest import NOW, LakeFixture
from tests.functions.prometheus_server import EXPORTER, PROMETHEUS, needs_prometheus, until
from web.app import create_app

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- {{job_name: node, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}
remote_write:
- url: http://127.0.0.1:{site}/api/v1/write
  basic_auth: {{username: prometheus, password: {key}}}
  queue_config: {{batch_send_deadline: 1s, max_samples_per_send: 100, max_shards: 2}}
"""
SAMPLES = """
SELECT ts, load_average, cpu_idle_pct, cpu_user_pct, mem_used_pct, net_in_mb_s, uptime_days
FROM metrics WHERE server = '127.0.0.1' AND source = 'remote_write' ORDER BY ts
"""


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def site(house: LakeFixture, port: int) -> Iterator[None]:
    app = create_app(house.folders.data)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        app.state.live.close()
        server.should_exit = True
        thread.join(10)


def scraped(port: int) -> dict[int, float]:
    """Load by time [ms], as Prometheus itself has it."""
    query = urllib.parse.urlencode({"query": "node_load1[5m]"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}") as reply:
        [series] = json.load(reply)["data"]["result"] or [{"values": []}]
    return {round(at * 1000): float(value) for at, value in series["values"]}


def in_the_lake(house: LakeFixture) -> list[dict[str, Any]]:
    house.commit(datetime.now(UTC))
    return list(house.reader.query(SAMPLES).to_pylist())


def written(*times_ms: int, name: str = "node_load1") -> bytes:
    request = WriteRequest()
    series = request.timeseries.add()
    for label, text in (("__name__", name), ("instance", "web1:9100")):
        series.labels.add(name=label, value=text)
    for at_ms in times_ms:
        series.samples.add(value=1.5, timestamp=at_ms)
    return bytes(request.SerializeToString())


NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (NOW_MS // 1000, "is older than 10 years: send milliseconds, as the protocol demands"),
        (NOW_MS * 1000, "in the future: send milliseconds, as the protocol demands: the number is"),
        (NOW_MS + 600_000, "lies more than 5 minutes in the future: check the sender's clock"),
        (-62_135_596_800_000, "is older than 10 years: send the time of the sample"),
    ],
)
def test_samples_of_a_time_that_cannot_be_true_are_refused_and_counted(
    time: int, says: str
) -> None:
    reasons = RejectLog()
    readings = read_series(written(NOW_MS, time, time), NOW, reasons)
    assert readings.timestamps() == {"web1": {NOW_MS * 1000}}
    [refused] = reasons.ranked()
    assert (refused.count, says in refused.reason) == (2, True)
    assert refused.example.startswith(f"{time} of web1: ")


def test_a_series_of_ours_without_a_server_is_refused_and_counted() -> None:
    request = WriteRequest.FromString(written(NOW_MS))
    del request.timeseries[0].labels[1]
    reasons = RejectLog()
    assert not read_series(request.SerializeToString(), NOW, reasons)
    [refused] = reasons.ranked()
    assert refused.reason.startswith("label instance: missing: it names the server")
    assert "node_load1" in refused.example


def test_the_times_of_series_that_are_not_for_us_are_not_looked_at() -> None:
    reasons = RejectLog()
    assert not read_series(written(1, name="go_goroutines"), NOW, reasons)
    assert not reasons


@needs_prometheus
def test_every_scrape_is_one_whole_row_in_the_lake(house: LakeFixture, tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("exporter", "site", "prometheus")}
    key = create_key(house.folders, "prometheus", ["feed"], NOW)
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(key=key, **ports))
    with ExitStack() as stack:
        stack.enter_context(serve_ingest(house.folders, {"influx": 1.0, "remote_write": 1.0}))
        stack.enter_context(site(house, ports["site"]))
        stack.enter_context(
            running(str(EXPORTER), f"--web.listen-address=127.0.0.1:{ports['exporter']}")
        )
        prometheus = [
            f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
        ]  # fmt: skip
        stack.enter_context(running(str(PROMETHEUS), *prometheus))
        rows = until(
            lambda: result if len(result := in_the_lake(house)) >= 4 else None, "4 rows in the lake"
        )
        theirs = scraped(ports["prometheus"])
    ours = {round(row["ts"].timestamp() * 1000): row["load_average"] for row in rows}
    expected = {at: load for at, load in theirs.items() if min(ours) <= at <= max(ours)}
    assert ours == pytest.approx(expected, abs=1 / 256)  # the lake holds load in steps of 1/128
    assert rows[0]["cpu_idle_pct"] is None  # a counter tells nothing at first
    for row in rows[1:]:
        assert None not in row.values(), row
        assert 0 <= row["cpu_idle_pct"] <= 100

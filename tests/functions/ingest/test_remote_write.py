"""A real Prometheus scrapes a real node_exporter and writes to the site; the lake is counted."""

import json
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import uvicorn

from functions.ingest.ingest_service import serve_ingest
from functions.ingest.remote_write import WriteRequest, read_series
from scripts.ports import free_port
from scripts.tools.prometheus_outage import counters_of
from storage.config.api_keys import create_key
from storage.model.reject_log import RejectLog
from tests.conftest import NOW, LakeFixture
from tests.functions.prometheus_server import EXPORTER, PROMETHEUS, needs_prometheus, until
from web.api import ingest_api
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
# What is not named is default: above all, 429 would not be retried.
MANY_SHARDS = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: node
  static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
  metric_relabel_configs: [{{source_labels: [__name__], regex: "node_load.*", action: keep}}]
remote_write:
- url: http://127.0.0.1:{site}/api/v1/write
  queue_config: {{batch_send_deadline: 1s, max_samples_per_send: 100, min_shards: 4}}
"""
SAMPLES = """
SELECT ts, load_average, cpu_idle_pct, cpu_user_pct, mem_used_pct, net_in_mb_s, uptime_days
FROM metrics WHERE server = '127.0.0.1' AND source = 'remote_write' ORDER BY ts
"""
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()  # otherwise Prometheus goes on sending for up to a minute
        process.wait()


@contextmanager
def prometheus_to(folder: Path, config: str, values: Mapping[str, object]) -> Iterator[None]:
    """Run node_exporter and Prometheus with a configuration."""
    (folder / "prometheus.yml").write_text(config.format_map(values))
    exporter = [str(EXPORTER), f"--web.listen-address=127.0.0.1:{values['exporter']}"]
    prometheus = [
        str(PROMETHEUS), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{values['prometheus']}",
    ]  # fmt: skip
    with running(*exporter), running(*prometheus):
        yield


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


def sample_counters(port: int) -> dict[str, int]:
    """What Prometheus says that it sent, sent again, failed to send and dropped."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return counters_of(reply.read().decode())


def stored(house: LakeFixture) -> int:
    """How many rows of remote write are in the lake."""
    house.commit(datetime.now(UTC))
    rows = house.reader.query("SELECT count(*) AS n FROM metrics WHERE source = 'remote_write'")
    return int(rows["n"][0].as_py())


def in_the_lake(house: LakeFixture) -> list[dict[str, Any]]:
    house.commit(datetime.now(UTC))
    return list(house.reader.query(SAMPLES).to_pylist())


def loads(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Load by time [ms]."""
    return {round(row["ts"].timestamp() * 1000): row["load_average"] for row in rows}


def series(server: str, samples: int, now: datetime) -> bytes:
    """A request as one shard of Prometheus sends it."""
    request = WriteRequest()
    one = request.timeseries.add()
    one.labels.add(name="__name__", value="node_load1")
    one.labels.add(name="instance", value=f"{server}:9100")
    begin_ms = round(now.timestamp() * 1000) - 600_000
    for n in range(samples):
        one.samples.add(value=n % 7, timestamp=begin_ms + 1000 * n)
    return bytes(pa.compress(request.SerializeToString(), codec="snappy", asbytes=True))


def test_200_senders_at_once_lose_nothing(house: LakeFixture) -> None:
    port, now = free_port(), datetime.now(UTC)
    bodies = [series(f"host{n}", 500, now) for n in range(200)]
    gate = threading.Barrier(len(bodies))
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", limits=httpx.Limits(), trust_env=False, timeout=60
    )

    def push(body: bytes) -> int:
        gate.wait()
        while (answer := client.post("/api/v1/write", content=body, headers=PROTOBUF)).is_error:
            if answer.status_code != 503:  # a default Prometheus sends nothing else again
                break
        return answer.status_code

    with (
        serve_ingest(house.folders, {"influx": 1.0, "remote_write": 0.1}),
        site(house, port), client,
    ):  # fmt: skip
        until(lambda: client.get("/healthz"), "the site runs")
        with ThreadPoolExecutor(len(bodies)) as pool:
            assert set(pool.map(push, bodies)) == {204}
        until(lambda: stored(house) == 200 * 500, "all samples are in the lake")


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
    with ExitStack() as stack:
        stack.enter_context(serve_ingest(house.folders, {"influx": 1.0, "remote_write": 1.0}))
        stack.enter_context(site(house, ports["site"]))
        stack.enter_context(prometheus_to(tmp_path, CONFIG, ports | {"key": key}))
        rows = until(
            lambda: result if len(result := in_the_lake(house)) >= 4 else None, "4 rows in the lake"
        )
        theirs = scraped(ports["prometheus"])
    ours = loads(rows)
    expected = {at: load for at, load in theirs.items() if min(ours) <= at <= max(ours)}
    assert ours == pytest.approx(expected, abs=1 / 256)  # the lake holds load in steps of 1/128
    assert rows[0]["cpu_idle_pct"] is None  # a counter tells nothing at first
    for row in rows[1:]:
        assert None not in row.values(), row
        assert 0 <= row["cpu_idle_pct"] <= 100


@needs_prometheus
def test_prometheus_keeps_and_resends_what_a_busy_or_absent_site_did_not_take(
    house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_api, "MAX_IN_FLIGHT", 1)
    monkeypatch.setattr(ingest_api, "MAX_WAIT_S", 0.01)
    ports = {name: free_port() for name in ("exporter", "site", "prometheus")}
    with ExitStack() as stack:
        stack.enter_context(serve_ingest(house.folders, {"influx": 1.0, "remote_write": 0.5}))
        stack.enter_context(prometheus_to(tmp_path, MANY_SHARDS, ports))
        until(lambda: len(scraped(ports["prometheus"])) >= 3, "there are scrapes to be sent")
        stack.enter_context(site(house, ports["site"]))
        theirs = scraped(ports["prometheus"])
        until(lambda: theirs.keys() <= loads(in_the_lake(house)).keys(), "all are in the lake", 100)
        counters = sample_counters(ports["prometheus"])
    assert counters["samples_retried_total"] > 0
    assert counters["samples_failed_total"] == counters["samples_dropped_total"] == 0
    ours = loads(in_the_lake(house))
    assert {at: ours[at] for at in theirs} == pytest.approx(theirs, abs=1 / 256)

"""Scrapes against a real server: each at its own time, with counters as rates and own queries."""

import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.connectors.prometheus.prometheus_connection import PrometheusConnection
from functions.connectors.prometheus.range_api import RangeApi
from functions.connectors.prometheus.scrapes import Scrapes, ScrapeWindow
from scripts.ports import free_port
from storage.model.schema import TIMESTAMP
from tests.conftest import NOW
from tests.functions.connectors.prometheus.api_double import ApiDouble, matrix
from tests.functions.connectors.prometheus.prometheus_rig import BOOTED, fleet, gauge, times_of
from tests.functions.connectors.source_reads import read_all, rows_of
from tests.functions.prometheus_server import EXPORTER, PrometheusServer, needs_prometheus, until

SCRAPE_CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- {{job_name: node, static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{rack: r7}}}}]}}
"""


def back(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def user_cpu(batch: Any) -> dict[datetime, Any]:
    """CPU in user mode by time."""
    return {row["ts"]: row["cpu_user_pct"] for row in rows_of(batch)}


@needs_prometheus
def test_a_scrape_is_a_row_at_its_own_time_with_any_step(server, job, text, open_read):
    times = times_of(15, 303.217, 3)
    server.put(fleet(job, times))
    for step in ("5s", "15s"):
        rows, _ = read_all(open_read(text(step=step)))
        assert [row["ts"] for row in rows] == times
        assert rows[0]["server"] == "db1"
        assert (rows[0]["cpu_user_pct"], rows[0]["load_average"]) == (None, 0.5)
        for row in rows[1:]:
            assert row["cpu_user_pct"] == pytest.approx(20, rel=1e-5)
            assert row["net_in_mb_s"] == pytest.approx(1, rel=1e-5)
    minutes, _ = read_all(open_read(text(step="1m")))
    assert {row["ts"] for row in minutes} < set(times)
    assert [row["net_in_mb_s"] for row in minutes[1:]] == pytest.approx([1.0] * len(minutes[1:]))


@needs_prometheus
def test_a_restarted_counter_has_no_rate_once_and_rates_after_it(server, job, text, open_read):
    server.put(fleet(job, times_of(5, 100, 60), since=5000))
    server.put(fleet(job, times_of(5, 60), boots=BOOTED + 9e6, since=4990))  # it still grew
    rates = user_cpu(open_read(text()).run(NOW, None))
    assert rates[back(60)] is None
    assert rates[back(100)] is None
    others = [value for ts, value in rates.items() if ts not in (back(60), back(100))]
    assert others == pytest.approx([20] * 18)


@needs_prometheus
def test_a_change_in_the_number_of_cores_has_no_rate(server, job, text, open_read):
    server.put(fleet(job, times_of(5, 60, 30), since=100, cores=2))
    server.put(fleet(job, times_of(5, 30), since=130, cores=4))
    batch = open_read(text()).run(NOW, None)
    rates = user_cpu(batch)
    assert rates.pop(back(60)) is None
    assert rates.pop(back(30)) is None
    assert list(rates.values()) == pytest.approx([20] * 10)
    assert batch.rows["server_facts"]["cores"].to_pylist()[0] == 4


@needs_prometheus
def test_stacked_links_and_pseudo_volumes_do_not_count_and_the_others_are_stated(
    server, job, text, open_read
):
    times = times_of(5, 30)
    first = times[0].timestamp()
    bytes_in = {ts: 2e6 * (ts.timestamp() - first) for ts in times}
    name = "node_network_receive_bytes_total"
    series = [
        gauge(job, name, bytes_in, device=link) for link in ("br0", "bond0", "cali0a1b", "lan")
    ]
    for link, below, own in (("eth0", 2, 2), ("lan", 2, 9)):  # a VLAN with a name of its own
        parts = {"node_network_iface_link": below, "node_network_iface_id": own}
        series += [gauge(job, n, dict.fromkeys(times, v), device=link) for n, v in parts.items()]
    for mount, kind, left in (("/", "ext4", 60), ("/snap/x/1", "squashfs", 0), ("/nas", "nfs4", 5)):
        labels = {"device": kind, "mountpoint": mount, "fstype": kind}
        for part, value in (("size", 100), ("free", left), ("avail", left)):
            values = dict.fromkeys(times, value)
            series.append(gauge(job, f"node_filesystem_{part}_bytes", values, **labels))
    server.put([*fleet(job, times), *series])
    batch = open_read(text()).run(NOW, None)
    rows = rows_of(batch)
    assert {row["disk_usage_pct"] for row in rows} == {40}
    assert [row["net_in_mb_s"] for row in rows[1:]] == pytest.approx([1.0] * len(rows[1:]))
    [fact] = batch.rows["server_facts"].to_pylist()
    assert (fact["disk_volume"], fact["net_links"]) == ("/", "eth0")


@needs_prometheus
def test_a_server_without_scrapes_leaves_a_gap(server, job, text, open_read):
    times = [*times_of(5, 500, 400), *times_of(5, 200, 150)]  # without a staleness marker
    server.put(fleet(job, times))
    rows, _ = read_all(open_read(text()))
    assert [row["ts"] for row in rows] == times


@needs_prometheus
def test_a_server_that_two_jobs_scrape_is_skipped_and_one_with_a_new_label_is_not(
    server, job, text, open_read
):
    times = times_of(5, 60)
    server.put(
        [
            gauge(job, "up", dict.fromkeys(times, 1), "twice:1"),
            gauge(job, "up", {ts + timedelta(seconds=2): 1 for ts in times}, "twice:2"),
            gauge(job, "up", dict.fromkeys(times[:6], 1), "moved:1", rack="a"),
            gauge(job, "up", dict.fromkeys(times[6:], 1), "moved:1", rack="b"),
            *(gauge(job, "node_load1", dict.fromkeys(times, 1), s) for s in ("twice:1", "moved:1")),
        ]
    )
    batch = open_read(text(clock="up")).run(NOW, None)
    assert batch.rows["metrics"]["server"].to_pylist() == ["moved"] * len(times)
    assert any("twice has several series up{" in reason for reason in batch.reasons)


@needs_prometheus
def test_machines_with_one_instance_are_told_apart_by_a_label_of_choice(
    server, job, text, open_read
):
    times = times_of(5, 60)
    for offset, cluster in enumerate(("eu", "us")):
        moved = [ts + timedelta(milliseconds=7 * offset) for ts in times]
        for name, value in (("up", 1), ("node_load1", 1 + offset)):
            server.put([gauge(job, name, dict.fromkeys(moved, value), "web:1", cluster=cluster)])
    batch = open_read(text(clock="up")).run(NOW, None)
    assert "metrics" not in batch.rows or not batch.rows["metrics"].num_rows
    [note] = [reason for reason in batch.reasons if "several series" in reason]
    assert "web has several series up{" in note
    assert "at a time (cluster 'eu' and 'us') and is skipped" in note
    assert "name the label that tells the machines apart in server_label" in note
    both = 'server_label = ["cluster", "instance"]'
    rows = rows_of(open_read(text(both, clock="up")).run(NOW, None))
    loads = {(row["server"], row["load_average"]) for row in rows}
    assert (len(rows), loads) == (2 * len(times), {("eu/web", 1.0), ("us/web", 2.0)})


@needs_prometheus
def test_own_queries_and_labels_are_mapped(server, job, text, open_read):
    times = times_of(5, 60)
    server.put(
        [
            gauge(job, "up", dict.fromkeys(times, 1), "web1:80", dc="fra1", role="db"),
            gauge(job, "jvm", dict.fromkeys(times, 0.25), "web1:80"),
            gauge(job, "jvm", dict.fromkeys(times, 1.5), "elsewhere:80"),
        ]
    )
    own = f"queries = {{ java = 'sum by (instance) (jvm{{job=\"{job}\"}})', odd = 'vector(1)' }}"
    mapping = """
[mapping]
cores = { number = 4 }
site = { field = "labels.dc" }
profile = { field = "labels.role", values = { db = "database" } }
[mapping.metrics]
java_cpu_pct = { field = "java", unit = "core_fraction" }
"""
    batch = open_read(text(own, clock="up", rest=mapping)).run(NOW, None)
    java = {row["ts"]: row["java_cpu_pct"] for row in rows_of(batch)}
    assert java == dict.fromkeys(times, pytest.approx(6.25))
    [fact] = batch.rows["server_facts"].to_pylist()
    assert (fact["server"], fact["site"], fact["profile"]) == ("web1", "fra1", "database")
    assert any("vector(1) has series without the label 'instance'" in r for r in batch.reasons)


def test_a_scrape_that_is_stored_during_the_queries_is_left_for_the_next_poll():
    old, new = [14.0, "1"], [29.0, "1"]
    loads = matrix([15, "0.5"], [30, "0.75"])  # 0.75 is of the new scrape
    with ApiDouble() as double:
        connection = PrometheusConnection(url=double.url)
        api = RangeApi(connection)
        scrapes = Scrapes(api, connection)

        def read(before: bytes, after: bytes) -> list[tuple[float, float]]:
            bodies = (before, matrix(), matrix(), loads, matrix(), matrix(), after)
            double.replies = [(200, body) for body in bodies]
            window = scrapes.read(range(0, 31, 15), True, time.monotonic() + 30)
            rows = window.scrapes.to_pylist()
            return [(row["timestamp"].timestamp(), row["load_average"]) for row in rows]

        assert read(matrix(old, [28.0, "1"]), matrix(old, [28.0, "1"], new)) == [(14, 0.5)]
        assert read(matrix(old, new), matrix(old, new)) == [(14, 0.5), (29, 0.75)]
        api.close()


def window_of(queries: dict[str, str], *bodies: bytes) -> ScrapeWindow:
    """The window up to 45 s after 1970, from responses in the order of the queries."""
    with ApiDouble() as double:
        double.replies = [(200, body) for body in bodies]
        connection = PrometheusConnection(url=double.url, queries=queries)
        api = RangeApi(connection)
        window = Scrapes(api, connection).read(range(0, 46, 15), False, time.monotonic() + 30)
        api.close()
    return window


def test_labels_and_own_queries_are_columns_and_a_scrape_without_a_value_has_no_row():
    clock, loads = matrix([14, "1"], [28, "1"], [44, "1"]), matrix([15, "0.5"], [30, "0.75"])
    own = matrix([15, "NaN"], [30, "9"]), matrix([30, "2"])
    queries = {"load_average": "a", "java": "b"}
    bodies = (clock, matrix(), matrix(), loads, matrix(), matrix(), *own)
    table = window_of(queries, *bodies).scrapes
    assert table.schema.field("timestamp").type == TIMESTAMP
    assert table["timestamp"].cast("int64").to_pylist() == [14_000_000, 28_000_000]
    assert table["server"].to_pylist() == ["a", "a"]
    assert table["labels.instance"].to_pylist() == ["a:9100", "a:9100"]
    assert table["load_average"].to_pylist() == [0.5, 9.0]
    assert table["java"].to_pylist() == [None, 2.0]


def test_scrapes_without_any_value_are_no_rows():
    clock, nothing = matrix([14, "1"], [28, "1"]), matrix()
    for bodies in ([nothing], [clock, nothing], [clock, *[nothing] * 5, matrix([15, "NaN"])]):
        assert window_of({"java": "a"}, *bodies).scrapes.num_rows == 0


def test_cores_stand_beside_stock_metrics_only():
    clock, loads = matrix([14, "1"], [28, "1"]), matrix([15, "0.5"])
    cores, own = matrix([15, "4"], [30, "4"]), matrix([15, "1"], [30, "2"])
    bodies = (clock, matrix(), matrix(), loads, cores, matrix(), own)
    table = window_of({"java": "a"}, *bodies).scrapes
    assert table["cores"].to_pylist() == [4, None]
    assert table["java"].to_pylist() == [1.0, 2.0]


@needs_prometheus
def test_this_host_arrives_scrape_by_scrape_from_a_real_exporter(tmp_path, open_read):
    exporter, port = None, free_port()
    server = PrometheusServer(tmp_path, SCRAPE_CONFIG.format(port=port))
    try:
        exporter = subprocess.Popen(
            [str(EXPORTER), f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server.start()
        read = open_read(
            f'kind = "prometheus"\nhistory = "1m"\nmapping.site.field = "labels.rack"\n'
            f'[connection]\nurl = "{server.url}"\nstep = "1s"\njob = "node"\ntimeout = "10s"\n'
        )
        rows: list[dict[str, Any]] = []
        cursor = None

        def three_rows() -> bool:
            nonlocal cursor
            more, cursor = read_all(read, cursor, datetime.now(UTC))
            rows.extend(more)
            return len(rows) >= 3

        until(three_rows, "three rows")
        scrapes = server.client.get("/api/v1/query", params={"query": "node_load1[5m]"}).json()
    finally:
        server.close()
        if exporter:
            exporter.kill()
            exporter.wait()
    theirs = {round(at * 1000): float(load) for at, load in scrapes["data"]["result"][0]["values"]}
    ours = {round(row["ts"].timestamp() * 1000): row["load_average"] for row in rows}
    assert ours == pytest.approx({at: theirs[at] for at in ours})
    assert len(ours) == len(rows)
    for row in rows[1:]:
        shares = [row[f"cpu_{part}_pct"] for part in ("user", "sys", "iowait", "idle")]
        assert 50 < sum(shares) <= 100.01
        assert 0 < row["mem_used_pct"] < 100
        assert 0 < row["disk_usage_pct"] <= 100
        assert row["uptime_days"] > 0
        assert row["net_in_mb_s"] >= 0

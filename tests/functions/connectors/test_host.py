"""Host source: rates, gauges, JVM scans and the cursor between runs."""

import json
from collections import namedtuple
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import psutil
import pytest

from functions.connectors.host import (
    HostCounters,
    HostReading,
    JavaScan,
    close_wait,
    cpu_shares,
    host,
    host_batch,
    java_share,
    sample,
    scan_java,
    traffic,
    uptime_days,
)
from functions.engine.function import Batch
from storage.model.metrics import METRIC_NAMES, metric
from storage.model.schema import table

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BEFORE = HostCounters(
    at=1000.0,
    booted_at=5_000_000.0,
    cpu_s={"user": 100.0, "system": 40.0, "idle": 800.0, "iowait": 10.0},
    links={"eth0": (5_000_000, 1_000_000)},
    java=JavaScan(1000.0, {"7@1": 50.0}, used_pct=3.0),
)
AFTER = HostReading(
    HostCounters(
        at=1005.0,
        booted_at=5_000_000.0,
        cpu_s={"user": 106.0, "system": 41.0, "idle": 802.0, "iowait": 11.0},
        links={"eth0": (15_000_000, 6_000_000)},
    ),
    {"mem_used_pct": 40.0, "swap_used_pct": 0.0, "load_average": 0.5, "uptime_days": 2.0},
    cores=2,
)


class Machine:
    """A probe that returns given readings in turn and remembers its arguments."""

    def __init__(self, *readings: HostReading) -> None:
        self.readings = list(readings)
        self.scans: list[float | None] = []
        self.pauses: list[float] = []

    def __call__(self, scanned_at: float | None) -> HostReading:
        self.scans.append(scanned_at)
        return self.readings.pop(0)

    def run(self, cursor: str | None = None) -> Batch:
        return host_batch(NOW, cursor, "ppweb01", self, self.pauses.append)


def later(seconds: float, **changes) -> HostReading:
    counters = replace(AFTER.counters, at=AFTER.counters.at + seconds, **changes)
    return replace(AFTER, counters=counters)


def first_cursor() -> str:
    cursor = Machine(replace(AFTER, counters=BEFORE), AFTER).run().cursor
    assert cursor is not None
    return cursor


@pytest.mark.skipif(not psutil.LINUX, reason="other systems do not report I/O wait")
def test_this_machine_has_all_14_metrics_in_their_ranges() -> None:
    batch = host.call(NOW, None)
    row = batch.rows["metrics"].to_pylist()[0]
    assert [name for name in METRIC_NAMES if row[name] is None] == []
    assert [metric(name).refusal(row[name]) for name in METRIC_NAMES] == [None] * 14
    assert 90 < sum(row[name] for name in METRIC_NAMES[:4]) <= 100.1
    assert (row["source"], row["ts"]) == ("host", NOW)


def test_rows_have_the_columns_of_their_tables() -> None:
    batch = Machine(replace(AFTER, counters=BEFORE), AFTER).run()
    assert batch.rows["metrics"].schema == table("metrics").arrow
    assert batch.rows["server_facts"].schema == table("server_facts").arrow


def test_rates_come_from_the_difference_of_two_readings() -> None:
    values = sample(BEFORE, AFTER)
    assert values["cpu_user_pct"] == pytest.approx(60)
    assert values["cpu_iowait_pct"] == pytest.approx(10)
    assert values["net_in_mb_s"] == pytest.approx(2.0)
    assert values["net_out_mb_s"] == pytest.approx(1.0)
    assert values["mem_used_pct"] == 40.0
    assert values["disk_usage_pct"] is None


def test_guest_time_is_not_counted_twice() -> None:
    before = {"user": 0.0, "guest": 0.0, "guest_nice": 0.0, "idle": 0.0}
    after = {"user": 5.0, "guest": 5.0, "guest_nice": 2.0, "idle": 5.0}
    assert cpu_shares(before, after)["cpu_user_pct"] == pytest.approx(50)


def test_nice_and_interrupts_belong_to_user_and_kernel() -> None:
    before = dict.fromkeys(("user", "nice", "system", "irq", "softirq", "idle"), 0.0)
    after = {"user": 1.0, "nice": 2.0, "system": 1.0, "irq": 1.0, "softirq": 1.0, "idle": 4.0}
    shares = cpu_shares(before, after)
    assert shares["cpu_user_pct"] == pytest.approx(30)
    assert shares["cpu_sys_pct"] == pytest.approx(30)


def test_a_system_that_does_not_report_io_wait_has_none() -> None:
    shares = cpu_shares({"user": 0.0, "idle": 0.0}, {"user": 1.0, "idle": 1.0})
    assert shares["cpu_iowait_pct"] is None


def test_io_wait_that_decreases_counts_as_no_wait() -> None:
    shares = cpu_shares({"iowait": 2.0, "idle": 0.0}, {"iowait": 1.9, "idle": 5.0})
    assert shares["cpu_iowait_pct"] == 0
    assert shares["cpu_idle_pct"] == 100


def test_two_readings_at_one_time_give_no_rates() -> None:
    values = sample(BEFORE, replace(AFTER, counters=BEFORE))
    rates = [name for name in METRIC_NAMES if name.startswith(("cpu", "net", "java"))]
    assert [values[name] for name in rates] == [None] * 7
    assert values["mem_used_pct"] == 40.0


def test_a_link_that_was_reset_has_no_traffic_in_that_step() -> None:
    reset = replace(AFTER.counters, links={"eth0": (10, 6_000_000)})
    assert traffic(BEFORE, reset) == {"net_in_mb_s": None, "net_out_mb_s": None}


def test_a_new_link_counts_from_the_next_step() -> None:
    grown = {**AFTER.counters.links, "eth1": (900_000_000, 0)}
    assert traffic(BEFORE, replace(AFTER.counters, links=grown))["net_in_mb_s"] == 2.0


def test_without_a_link_there_is_no_traffic() -> None:
    assert traffic(BEFORE, replace(AFTER.counters, links={}))["net_in_mb_s"] is None


def test_java_cpu_is_the_share_of_all_cores_between_two_scans() -> None:
    after = JavaScan(1010.0, {"7@1": 60.0})
    assert java_share(BEFORE.java, after, cores=2) == pytest.approx(50)


def test_java_cpu_keeps_its_last_value_between_scans() -> None:
    assert java_share(BEFORE.java, None, cores=2) == 3.0


def test_a_jvm_started_between_scans_counts_and_one_not_readable_before_does_not() -> None:
    scan = JavaScan(1010.0, {"7@1": 50.0, "8@9": 4.0, "9@2": 500.0}, new=frozenset({"8@9"}))
    assert java_share(BEFORE.java, scan, cores=1) == pytest.approx(40)


class Process(SimpleNamespace):
    """A process as psutil shows it; `error` is raised when its times are read."""

    def create_time(self) -> float:
        return 100.0

    def cpu_times(self) -> SimpleNamespace:
        if self.error:
            raise self.error
        return SimpleNamespace(user=3.0, system=1.0)


def process(pid: int, name: str | None = "java", error: Exception | None = None) -> Process:
    return Process(pid=pid, info={"name": name}, error=error)


def test_a_scan_skips_processes_that_vanish_or_are_denied() -> None:
    gone, denied = psutil.NoSuchProcess(2), psutil.AccessDenied(3)
    processes = [process(1), process(2, error=gone), process(3, error=denied), process(4, "vim")]
    scan = scan_java(50.0, 500.0, [*processes, process(5, None)])
    assert scan is not None
    assert scan.cpu_s == {"1@100": 4.0}


def test_jvms_that_may_not_be_read_are_missing_not_zero() -> None:
    assert scan_java(50.0, 500.0, [process(3, error=psutil.AccessDenied(3))]) is None
    assert scan_java(50.0, 500.0, []) == JavaScan(50.0, {})


Address = namedtuple("Address", "ip port")


def test_close_wait_is_of_clients_on_the_ports_that_this_host_listens_on() -> None:
    sockets = [
        SimpleNamespace(status="LISTEN", laddr=Address("0.0.0.0", 443)),  # noqa: S104 - not bound
        SimpleNamespace(status="CLOSE_WAIT", laddr=Address("10.0.0.1", 443)),
        SimpleNamespace(status="CLOSE_WAIT", laddr=Address("10.0.0.1", 50_312)),
        SimpleNamespace(status="CLOSE_WAIT", laddr=Address("10.0.0.1", 50_313)),
        SimpleNamespace(status="ESTABLISHED", laddr=Address("10.0.0.1", 50_314)),
    ]
    assert close_wait(sockets) == {"front_close_wait": 1, "back_close_wait": 2}


def test_sockets_that_may_not_be_read_are_missing_not_zero() -> None:
    assert close_wait(None) == {"front_close_wait": None, "back_close_wait": None}


def test_the_first_run_takes_a_second_reading_and_writes_the_facts() -> None:
    machine = Machine(replace(AFTER, counters=BEFORE), AFTER)
    batch = machine.run()
    assert machine.pauses == [0.5]
    assert batch.rows["metrics"].to_pylist()[0]["cpu_user_pct"] == pytest.approx(60)
    facts = batch.rows["server_facts"].to_pylist()[0]
    assert facts == {
        "server": "ppweb01", "ts": NOW, "profile": None, "site": None, "cores": 2,
        "disk_volume": None, "net_links": "eth0",
    }  # fmt: skip


def test_a_change_of_the_fullest_volume_or_of_the_links_is_a_fact() -> None:
    full = replace(later(5), fullness={"/": 40.0, "/var": 70.0})
    first = Machine(full).run(first_cursor())
    [fact] = first.rows["server_facts"].to_pylist()
    assert (fact["disk_volume"], fact["net_links"]) == ("/var", "eth0")
    same = Machine(replace(later(10), fullness={"/": 70.5, "/var": 70.0})).run(first.cursor)
    assert "server_facts" not in same.rows
    more = Machine(later(15, links={"eth0": (0, 0), "eth1": (0, 0)})).run(same.cursor)
    assert more.rows["server_facts"]["net_links"].to_pylist() == ["eth0, eth1"]


def test_a_boot_later_than_the_clock_has_no_uptime() -> None:
    assert uptime_days(1000.0, 1500.0) is None
    assert uptime_days(1000.0, 1001.0) == 0.0
    assert uptime_days(86_400.0 * 3, 86_400.0) == 2.0


def test_later_runs_continue_from_the_cursor() -> None:
    machine = Machine(later(10, cpu_s={"user": 116.0, "system": 41.0, "idle": 812.0}))
    batch = machine.run(first_cursor())
    assert machine.pauses == []
    assert set(batch.rows) == {"metrics"}
    row = batch.rows["metrics"].to_pylist()[0]
    assert row["cpu_user_pct"] == pytest.approx(50)
    assert row["java_cpu_pct"] == pytest.approx(3.0)


def test_the_probe_receives_the_time_of_the_last_scan() -> None:
    machine = Machine(later(5))
    machine.run(first_cursor())
    assert machine.scans == [1000.0]


def test_the_cursor_holds_java_cpu_until_the_next_scan() -> None:
    scanned = later(10, java=JavaScan(1015.0, {"7@1": 65.0}))
    second = Machine(scanned).run(first_cursor())
    third = Machine(later(15)).run(second.cursor)
    assert second.rows["metrics"]["java_cpu_pct"].to_pylist() == [50.0]
    assert third.rows["metrics"]["java_cpu_pct"].to_pylist() == [50.0]


def test_a_cursor_of_another_version_is_ignored() -> None:
    older = json.dumps({**json.loads(first_cursor()), "version": 0})
    machine = Machine(replace(AFTER, counters=BEFORE), AFTER)
    assert "server_facts" in machine.run(older).rows


@pytest.mark.parametrize("reading", [later(601), later(-2), later(5, booted_at=5_009_000.0)])
def test_a_run_after_a_long_gap_or_a_reboot_starts_anew(reading):
    machine = Machine(reading, replace(AFTER, counters=BEFORE), AFTER)
    batch = machine.run(first_cursor())
    assert machine.pauses == [0.5]
    assert machine.scans[1:] == [None, None]
    assert "server_facts" in batch.rows


@pytest.mark.parametrize(
    "cursor",
    ["", "{", "[]", "null", "{}", '{"version":1}', '{"version":0}', '{"version":1,"at":"x"}'],
)
def test_a_cursor_that_cannot_be_decoded_is_ignored(cursor):
    machine = Machine(replace(AFTER, counters=BEFORE), AFTER)
    assert "server_facts" in machine.run(cursor).rows


@pytest.mark.parametrize("key", ["at", "booted_at", "cpu_s", "links", "java"])
@pytest.mark.parametrize("value", [float("nan"), "soon", [1], {"eth0": None}, {"eth0": [1]}])
def test_a_cursor_with_an_invalid_part_is_ignored(key, value):
    body = {**json.loads(first_cursor()), key: value}
    machine = Machine(replace(AFTER, counters=BEFORE), AFTER)
    assert "server_facts" in machine.run(json.dumps(body)).rows

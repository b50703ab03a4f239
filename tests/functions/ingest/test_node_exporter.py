"""Series of node_exporter: which are used, and as which part of a server."""

import math

import pytest

from functions.ingest.node_exporter import NAMES, add_series
from functions.ingest.partial_samples import Part, PartialSamples
from functions.ingest.row_assembly import RowAssembler
from storage.model.metrics import METRIC_NAMES
from storage.model.reject_log import RejectLog


def parts_of(name: str, **labels: str) -> list[Part]:
    samples = PartialSamples()
    add_series(samples, name, {"instance": "a:9100", **labels}, [1], [2.0])
    return list(samples.servers.get("a", {}))


@pytest.mark.parametrize(
    ("name", "labels", "part"),
    [
        ("node_load1", {}, ("load_average", "")),
        ("node_cpu_seconds_total", {"cpu": "3", "mode": "user"}, ("cpu_s", "3 user")),
        ("node_network_receive_bytes_total", {"device": "eth0"}, ("net_in_bytes", "eth0")),
        (
            "node_filesystem_avail_bytes",
            {"device": "sda1", "mountpoint": "/", "fstype": "ext4"},
            ("fs_avail", "sda1 /"),
        ),
        (
            "node_filesystem_avail_bytes",
            {"device": "nas:/x", "mountpoint": "/x", "fstype": "nfs4"},
            ("fs_avail", "1\tnas:/x /x"),
        ),
        ("node_network_iface_link", {"device": "eth0"}, ("link_below", "eth0")),
        ("node_bonding_slaves", {"master": "uplink"}, ("bond_members", "uplink")),
        ("node_tcp_connection_states", {"state": "close_wait"}, ("back_close_wait", "")),
    ],
)
def test_a_series_becomes_a_part_of_its_server(
    name: str, labels: dict[str, str], part: Part
) -> None:
    assert parts_of(name, **labels) == [part]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("node_network_receive_bytes_total", {"device": "docker0"}),
        ("node_filesystem_size_bytes", {"device": "loop0", "fstype": "squashfs"}),
        ("node_tcp_connection_states", {"state": "established"}),
        ("node_cpu_seconds_total", {"cpu": "0"}),
        ("go_goroutines", {}),
    ],
)
def test_virtual_links_images_and_other_series_are_left_out(
    name: str, labels: dict[str, str]
) -> None:
    assert parts_of(name, **labels) == []


def test_the_nan_at_the_end_of_a_series_is_left_out() -> None:
    samples = PartialSamples()
    assert add_series(samples, "node_load1", {"instance": "a"}, [1, 2], [0.5, math.nan])
    assert samples.servers["a"]["load_average", ""] == ([1], [0.5])


@pytest.mark.parametrize("instance", ["", " ", "a\x00b:9100"])
def test_a_series_without_a_valid_name_is_not_used(instance: str) -> None:
    samples = PartialSamples()
    assert not add_series(samples, "node_load1", {"instance": instance}, [1], [1.0])
    assert not samples


def test_each_name_is_listed_once() -> None:
    assert len(NAMES) == len(set(NAMES))


BASE = {"user": 100.0, "system": 10.0, "iowait": 0.0, "idle": 1000.0, "steal": 0.0}


class Exporter:
    """Series of one server, scraped every 15 s, as rows."""

    def __init__(self) -> None:
        self._samples = PartialSamples()
        self.rejects = RejectLog()

    def scrape(self, number: int, name: str, value: float, **labels: str) -> None:
        full = {"instance": "a:9100", **labels}
        add_series(self._samples, name, full, [15_000_000 * number], [value])

    def core(self, number: int, core: int, **seconds: float) -> None:
        for mode, base in BASE.items():
            value = base + seconds.get(mode, 0.0)
            self.scrape(number, "node_cpu_seconds_total", value, cpu=str(core), mode=mode)

    def link(self, number: int, device: str, received: float, below: int, own: int) -> None:
        for name, value in (
            ("node_network_receive_bytes_total", received), ("node_network_iface_id", own),
            ("node_network_iface_link", below),
        ):  # fmt: skip
            self.scrape(number, name, value, device=device)

    def column(self, metric: str) -> list[float | None]:
        made = RowAssembler("test", METRIC_NAMES).rows(self._samples, self.rejects)["metrics"]
        values: list[float | None] = made[metric].to_pylist()
        return values


def test_a_core_that_goes_away_and_returns_does_not_disturb_the_others() -> None:
    exporter = Exporter()
    for number in range(5):
        exporter.core(number, 0, user=3.0 * number, idle=12.0 * number)
    for number, grown in ((0, 0.0), (1, 15.0), (3, -90.0), (4, -75.0)):  # reset in between
        exporter.core(number, 1, user=grown)
    shares = exporter.column("cpu_user_pct")
    assert shares == [pytest.approx(percent) for percent in (60, 20, 20, 60)]


def test_idle_that_steps_back_does_not_make_a_core_seem_busy() -> None:
    exporter = Exporter()
    for number, idle in enumerate((0.0, -0.02, 9.0)):
        exporter.scrape(number, "node_load1", number)
        exporter.core(number, 0, user=5.0 * number, idle=idle)
    assert exporter.column("cpu_idle_pct") == [None, None, pytest.approx(100 * 9.02 / 14.02)]


def test_idle_that_steps_back_on_a_busy_core_is_none() -> None:
    exporter = Exporter()
    for number, idle in enumerate((0.0, -0.02)):
        exporter.core(number, 0, user=15.0 * number, idle=idle)
    assert exporter.column("cpu_idle_pct") == [0.0]


def test_steal_is_neither_idle_nor_use() -> None:
    exporter = Exporter()
    exporter.core(0, 0)
    exporter.core(1, 0, user=3.0, system=1.0, idle=3.5, steal=7.5)
    assert exporter.column("cpu_idle_pct") == [pytest.approx(100 * 3.5 / 15)]
    assert exporter.column("cpu_user_pct") == [pytest.approx(20)]


@pytest.mark.parametrize("booted", [500.0, 0.0])
def test_a_boot_that_cannot_be_is_refused_with_its_reason(booted: float) -> None:
    exporter = Exporter()
    exporter.scrape(1, "node_boot_time_seconds", booted)
    exporter.scrape(1, "node_load1", 1.0)
    assert exporter.column("uptime_days") == [None]
    assert exporter.rejects.count == 1
    assert "set the clock of the server" in exporter.rejects.sentences()[0]


def test_a_boot_a_moment_after_the_sample_is_a_boot_now() -> None:
    exporter = Exporter()
    exporter.scrape(1, "node_boot_time_seconds", 17.0)
    assert exporter.column("uptime_days") == [0.0]


def test_a_link_by_any_name_on_top_of_another_does_not_count_again() -> None:
    exporter = Exporter()
    for number in (0, 1):
        exporter.link(number, "eth0", 15e6 * number, below=2, own=2)
        exporter.link(number, "storage", 9e6 * number, below=2, own=7)
        exporter.scrape(number, "node_network_receive_bytes_total", 9e9 * number, device="uplink")
        exporter.scrape(number, "node_bonding_slaves", 2, master="uplink")
    assert exporter.column("net_in_mb_s") == [pytest.approx(1.0)]


@pytest.mark.parametrize("wrong", [math.inf, -math.inf])
def test_infinity_is_left_to_the_writer_which_counts_it(wrong: float) -> None:
    exporter = Exporter()
    exporter.scrape(0, "node_load1", wrong)
    assert exporter.column("load_average") == [wrong]


def test_samples_of_a_series_may_come_in_any_order() -> None:
    samples, labels = PartialSamples(), {"instance": "a:9100", "device": "eth0"}
    name = "node_network_receive_bytes_total"
    add_series(samples, name, labels, [30_000_000, 0, 15_000_000], [45e6, 0, 15e6])
    made = RowAssembler("test", METRIC_NAMES).rows(samples)["metrics"]
    assert made["net_in_mb_s"].to_pylist() == [1.0, 2.0]


def test_labels_of_a_core_that_are_too_long_for_one_are_not_used() -> None:
    labels = {"instance": "a:9100", "cpu": "0", "mode": "x" * 100}
    assert not add_series(PartialSamples(), "node_cpu_seconds_total", labels, [1], [1.0])
    assert add_series(
        PartialSamples(), "node_cpu_seconds_total", labels | {"mode": "idle"}, [1], [1.0]
    )

"""The rule for counters, and that all four kinds of source follow it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from functions.connectors import host
from functions.connectors.incremental_read import IncrementalRead
from functions.connectors.source_file import read_source
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.telegraf import TelegrafReader
from functions.normalize.counters import MAX_GAP_S, CounterRates, growth, rate
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW
from tests.functions.prometheus_server import PrometheusServer, needs_prometheus

# Seconds and bytes received; the first sample has no rate.
Samples = list[tuple[int, float]]
Rates = list[float | None]
CASES: dict[str, tuple[Samples, Rates]] = {
    "even": ([(0, 0), (15, 30e6), (30, 30e6)], [2.0, 0.0]),
    "reset": ([(0, 900e6), (15, 15e6), (30, 30e6)], [None, 1.0]),
    "gap at the limit": ([(0, 0), (600, 600e6)], [1.0]),
    "gap over the limit": ([(0, 0), (615, 615e6), (630, 645e6)], [None, 2.0]),
    "reset in a gap": ([(0, 900e6), (900, 1e6)], [None]),
}


def by_mapping(samples: Samples) -> Rates:
    entry = {"field": "rx", "unit": "bytes", "counter": True}
    mapper = Mapper(read_mapping({"metrics": {"net_in_mb_s": entry}}), "shop")
    rows: Rates = []
    for seconds, received in samples:
        ts = NOW + timedelta(seconds=seconds)
        mapped = mapper.map([{"ts": ts, "host": "a", "rx": received, "load": 1}])
        rows += mapped.rows["net_in_mb_s"].to_pylist()
    return rows[1:]


def by_push(samples: Samples) -> Rates:
    reader, assembler, rows = TelegrafReader(METRIC_NAMES), RowAssembler("t", METRIC_NAMES), []
    for seconds, received in samples:
        at = int(NOW.timestamp()) + seconds
        line = (
            f"net,host=a,interface=eth0 bytes_recv={received:.0f}i {at}\nsystem,host=a load1=1 {at}"
        )
        readings = reader.read(line, "s", NOW + timedelta(hours=1)).readings
        rows += assembler.rows(readings)["metrics"]["net_in_mb_s"].to_pylist()
    return rows[1:]


def by_host(samples: Samples) -> Rates:
    readings = [
        host.HostReading(host.HostCounters(1000.0 + at, 0.0, {}, {"eth0": (int(received), 0)}))
        for at, received in samples
    ]
    return [host.sample(a.counters, b)["net_in_mb_s"] for a, b in pairwise(readings)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rates_of", [by_mapping, by_push, by_host])
def test_equal_counters_have_equal_rates_from_every_source(
    rates_of: Callable[[Samples], Rates], case: str
) -> None:
    samples, expected = CASES[case]
    assert rates_of(samples) == pytest.approx(expected, nan_ok=False)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A server that takes samples of any age."""
    folder = tmp_path_factory.mktemp("prometheus")
    server = PrometheusServer(folder, "storage: {tsdb: {out_of_order_time_window: 60d}}\n")
    server.start()
    yield server
    server.close()


@needs_prometheus
@pytest.mark.parametrize("case", CASES)
def test_equal_counters_have_equal_rates_from_prometheus(
    prometheus: PrometheusServer, tmp_path: Path, case: str
) -> None:
    samples, expected = CASES[case]
    labels, start = {"job": case, "instance": "a:9100"}, NOW - timedelta(minutes=30)
    times = [start + timedelta(seconds=seconds) for seconds, _ in samples]
    received = [(at, value) for at, (_, value) in zip(times, samples, strict=True)]
    prometheus.put([
        (labels | {"__name__": "node_boot_time_seconds"}, [(at, 1e9) for at in times]),
        (labels | {"__name__": "node_load1"}, [(at, 1.0) for at in times]),
        (labels | {"__name__": "node_network_receive_bytes_total", "device": "eth0"}, received),
    ])  # fmt: skip
    text = (
        f'kind = "prometheus"\nhistory = "1h"\n[connection]\nurl = "{prometheus.url}"\n'
        f'job = "{case}"\nstep = "15s"\n'
    )
    read = IncrementalRead(read_source("prom", text.encode(), Folders.at(tmp_path)))
    rows = read.run(NOW, None).rows["metrics"].to_pylist()
    read.close()
    assert [row.get("net_in_mb_s") for row in rows][1:] == pytest.approx(expected)


def test_a_rate_is_never_negative_and_missing_where_it_is_not_known() -> None:
    before = [0.0, 10.0, np.nan, 0.0, 0.0, 0.0]
    after = [5.0, 9.0, 5.0, np.nan, 5.0, 5.0]
    seconds = [5.0, 5.0, 5.0, 5.0, 0.0, MAX_GAP_S + 0.001]
    np.testing.assert_array_equal(rate(before, after, seconds), [1.0, *[np.nan] * 5])


def test_growth_tells_a_reset_from_a_gap() -> None:
    grown = growth(np.array([[5.0, 1.0], [5.0, 1.0]]), [[3.0, 2.0]] * 2, np.array([[1.0], [601.0]]))
    np.testing.assert_array_equal(grown, [[-2.0, 1.0], [np.nan, np.nan]])


def rates_of(counters: CounterRates, *readings: tuple[str, float, float]) -> list[float]:
    servers = [server for server, _, _ in readings]
    times = np.array([int(seconds * 1e6) for _, seconds, _ in readings], np.int64)
    values = np.array([value for _, _, value in readings])
    result = counters.rates("rx", servers, [None] * len(servers), times, values)
    return [float(value) for value in result]


def test_readings_of_a_page_are_compared_in_the_order_of_time() -> None:
    result = rates_of(CounterRates(), ("a", 20, 30), ("a", 0, 0), ("b", 20, 7), ("a", 10, 20))
    np.testing.assert_array_equal(result, [1.0, np.nan, np.nan, 2.0])


def test_a_reading_that_comes_late_has_no_rate_and_leaves_the_next_alone() -> None:
    counters = CounterRates()
    rates_of(counters, ("a", 10, 100))
    np.testing.assert_array_equal(rates_of(counters, ("a", 5, 900)), [np.nan])
    np.testing.assert_array_equal(rates_of(counters, ("a", 20, 120)), [2.0])


def test_rates_go_on_from_a_saved_state_that_names_no_server() -> None:
    before = CounterRates()
    rates_of(before, ("secret-host", 0, 0))
    assert "secret-host" not in repr(before.state())
    assert rates_of(CounterRates(before.state()), ("secret-host", 10, 50)) == [5.0]


@pytest.mark.parametrize(("begins", "expected"), [(True, [2.0, 2.0]), (False, [])])
def test_a_file_that_begins_has_rates_although_its_readings_are_older(
    begins: bool, expected: list[float]
) -> None:
    rates, seconds = CounterRates(), np.arange(3, dtype=np.float64) * 15
    for _ in range(2):
        if begins:
            rates.begin()
        times = seconds.astype(np.int64) * 1_000_000
        result = rates.rates("rx", ["a"] * 3, [None] * 3, times, 2 * seconds)
    assert result[~np.isnan(result)].tolist() == expected


def test_after_our_clock_was_ahead_counters_have_rates_again() -> None:
    counters = CounterRates()
    counters.follow_clock(int(7300e6))
    rates_of(counters, ("a", 7200, 50))
    saved = CounterRates(counters.state())
    for rates in (counters, saved):
        rates.follow_clock(int(400e6))
        result = rates_of(rates, ("a", 10, 70), ("a", 20, 90))
        np.testing.assert_array_equal(result, [np.nan, 2.0])

"""Counters become rates, pieces become rows, and nothing is invented."""

import tracemalloc
from typing import Any

import pytest

from functions.ingest.partial_samples import PartialSamples
from functions.ingest.row_assembly import RowAssembler
from storage.model.metrics import METRIC_NAMES

SECOND = 1_000_000
CPU = {"user": 40.0, "nice": 0.0, "system": 10.0, "iowait": 5.0, "idle": 45.0}


def scrape(at_s: float, **parts: float) -> PartialSamples:
    """Readings of server a; `net_in_bytes__eth0` is the part of that link."""
    readings = PartialSamples()
    for name, value in parts.items():
        kind, _, which = name.partition("__")
        readings.add("a", (kind, which), int(at_s * SECOND), value)
    return readings


def cpu(at_s: float, cores: int, scale: float, **more: float) -> PartialSamples:
    readings = scrape(at_s, **more)
    for core in range(cores):
        for mode, seconds in CPU.items():
            readings.add("a", ("cpu_s", f"{core} {mode}"), int(at_s * SECOND), seconds * scale)
    return readings


class AssemblyChain:
    """An assembler, fed one piece after the other."""

    def __init__(self) -> None:
        self._assembler = RowAssembler("test", METRIC_NAMES)

    def rows(self, readings: PartialSamples) -> list[dict[str, Any]]:
        return list(self._assembler.rows(readings)["metrics"].to_pylist())

    def last(self, readings: PartialSamples) -> dict[str, Any]:
        return next(reversed(self.rows(readings)), {})


def test_cpu_time_becomes_shares_over_all_cores() -> None:
    chain = AssemblyChain()
    assert chain.last(cpu(0, 2, 1.0, load_average=1)) ["cpu_user_pct"] is None  # fmt: skip
    row = chain.last(cpu(15, 2, 1.1))
    shares = [row[f"cpu_{name}_pct"] for name in ("user", "sys", "iowait", "idle")]
    assert shares == pytest.approx([40, 10, 5, 45], rel=1e-5)


def test_traffic_is_the_sum_over_the_links_that_both_ends_know() -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=0, load_average=1))
    row = chain.last(scrape(10, net_in_bytes__eth0=20e6, net_in_bytes__eth1=9e12))
    assert row["net_in_mb_s"] == pytest.approx(2.0)
    row = chain.last(scrape(20, net_in_bytes__eth0=30e6, net_in_bytes__eth1=9e12 + 10e6))
    assert row["net_in_mb_s"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "second",
    [
        scrape(10, net_in_bytes__eth0=5e6, load_average=2),  # it was set back
        scrape(10, net_in_bytes__eth0=300e6, booted_at_s=9, load_average=2),  # it overtook
        scrape(700, net_in_bytes__eth0=300e6, load_average=2),  # too long ago
        scrape(-5, net_in_bytes__eth0=300e6, load_average=2),  # came late
        scrape(0, net_in_bytes__eth0=300e6, load_average=2),  # the same moment
        scrape(10, net_in_bytes__eth1=300e6, load_average=2),  # another link
    ],
    ids=["reset", "reboot", "gap", "late", "same", "other"],
)  # fmt: skip
def test_a_rate_that_would_be_wrong_is_missing(second: PartialSamples) -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=200e6, booted_at_s=-100, load_average=1))
    row = chain.last(second)
    assert row["load_average"] == 2.0
    assert row["net_in_mb_s"] is None


def test_what_comes_late_leaves_the_next_rate_alone() -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=0, load_average=1))
    chain.last(scrape(-5, net_in_bytes__eth0=500e6, load_average=1))
    assert chain.last(scrape(10, net_in_bytes__eth0=10e6))["net_in_mb_s"] == pytest.approx(1.0)


def test_a_moment_without_counters_does_not_break_the_chain() -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=0, load_average=1))
    chain.last(scrape(1, load_average=1))
    assert chain.last(scrape(10, net_in_bytes__eth0=10e6))["net_in_mb_s"] == pytest.approx(1.0)


def test_a_core_of_which_a_part_is_missing_does_not_count() -> None:
    chain = AssemblyChain()
    chain.last(cpu(0, 2, 1.0))
    second = cpu(15, 2, 1.1)
    del second.servers["a"]["cpu_s", "1 idle"]
    assert chain.last(second)["cpu_idle_pct"] == pytest.approx(45, rel=1e-5)


def test_shares_without_idle_time_are_not_made() -> None:
    chain = AssemblyChain()
    for at, scale in ((0, 1.0), (15, 1.1)):
        readings = cpu(at, 1, scale, load_average=1)
        del readings.servers["a"]["cpu_s", "0 idle"]
        row = chain.last(readings)
    assert row["cpu_user_pct"] is None


def test_a_reboot_of_the_cpu_counters_is_missing_and_then_goes_on() -> None:
    chain = AssemblyChain()
    chain.last(cpu(0, 2, 10.0, load_average=1))
    assert chain.last(cpu(15, 2, 0.1, load_average=1))["cpu_user_pct"] is None
    assert chain.last(cpu(30, 2, 0.2))["cpu_user_pct"] == pytest.approx(40, rel=1e-5)


def test_many_moments_at_once_are_the_same_as_one_after_the_other() -> None:
    steps = [cpu(15 * i, 2, 1 + i / 10, net_in_bytes__eth0=i * 15e6) for i in range(5)]
    single = AssemblyChain()
    expected = [single.last(step) for step in steps]
    whole = PartialSamples()
    for step in [cpu(15 * i, 2, 1 + i / 10, net_in_bytes__eth0=i * 15e6) for i in range(5)]:
        whole.merge(step)
    result = RowAssembler("test", METRIC_NAMES).rows(whole)["metrics"].to_pylist()
    assert result == [row for row in expected if row]


def test_memory_swap_and_volumes_are_shares() -> None:
    row = AssemblyChain().last(
        scrape(
            0, mem_total=1000, mem_available=250, swap_total=0, swap_free=0, fs_size__a=100,
            fs_free__a=50, fs_avail__a=40, fs_size__b=100, fs_free__b=1, fs_avail__b=1,
            fs_readonly__b=1, booted_at_s=-86400,
        )
    )  # fmt: skip
    assert row["mem_used_pct"] == 75.0
    assert row["swap_used_pct"] == 0.0
    assert row["disk_usage_pct"] == pytest.approx(100 * 50 / 90)
    assert row["uptime_days"] == 1.0


def test_numbers_without_sense_do_no_harm() -> None:
    inf = float("inf")
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=inf, cores=inf, load_average=1e300, booted_at_s=-inf))
    row = chain.last(scrape(10, net_in_bytes__eth0=inf, cores=-1, fs_size__a=inf, fs_avail__a=inf,
                            load_average=1))  # fmt: skip
    assert (row["load_average"], row["net_in_mb_s"], row["disk_usage_pct"]) == (1.0, None, None)


def merged(*pieces: PartialSamples) -> PartialSamples:
    whole = PartialSamples()
    for piece in pieces:
        whole.merge(piece)
    return whole


def test_late_pieces_of_a_time_complete_what_is_computed_of_several() -> None:
    """Two shards: one is three scrapes behind."""
    chain = AssemblyChain()
    chain.last(merged(cpu(0, 1, 1.0), scrape(0, mem_total=100)))
    modes = cpu(15, 1, 1.1)
    late = PartialSamples()
    late.servers["a"] = {("cpu_s", "0 idle"): modes.servers["a"].pop(("cpu_s", "0 idle"))}
    assert chain.last(merged(modes, scrape(15, mem_total=100))) == {}
    for at, scale in ((30, 1.2), (45, 1.3)):
        chain.last(merged(cpu(at, 1, scale), scrape(at, load_average=1)))
    first, second = chain.rows(merged(late, scrape(15, mem_available=25)))
    assert (first["ts"].timestamp(), first["mem_used_pct"]) == (15, 75.0)
    assert first["cpu_user_pct"] == pytest.approx(40, rel=1e-5)
    assert (second["ts"].timestamp(), second["load_average"]) == (30, None)
    assert second["cpu_user_pct"] == pytest.approx(40, rel=1e-5)


def test_a_row_after_a_late_one_gets_the_rate_that_it_lacked() -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=0))
    chain.last(scrape(800, net_in_bytes__eth0=800e6))  # no rate over such a gap
    row = chain.last(scrape(400, net_in_bytes__eth0=400e6))
    assert (row["ts"].timestamp(), row["net_in_mb_s"]) == (800, pytest.approx(1.0))


def test_a_metric_that_was_given_out_is_not_computed_again_of_a_late_piece() -> None:
    chain = AssemblyChain()
    chain.last(scrape(0, net_in_bytes__eth0=0, net_in_bytes__eth1=0))
    assert chain.last(scrape(10, net_in_bytes__eth0=20e6))["net_in_mb_s"] == pytest.approx(2.0)
    assert chain.last(scrape(10, net_in_bytes__eth1=20e6)) == {}


def test_what_was_sent_again_is_given_out_again_for_the_writer_to_count() -> None:
    chain = AssemblyChain()
    for _ in range(2):
        row = chain.last(scrape(0, mem_total=100, mem_available=25, load_average=1))
        assert (row["mem_used_pct"], row["load_average"]) == (75.0, 1.0)


def test_many_links_at_many_times_take_no_table_of_all_links_and_times() -> None:
    readings = PartialSamples()
    for place in range(2500):
        readings.add("a", ("net_in_bytes", f"eth{place}"), place * 1000, 1.0)
        readings.add("a", ("load_average", ""), place * 1000, 1.0)
    tracemalloc.start()
    rows = RowAssembler("test", METRIC_NAMES).rows(readings)["metrics"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.num_rows == 2500
    assert peak < 100 << 20


def test_after_our_clock_was_ahead_counters_have_rates_again() -> None:
    assembler = RowAssembler("test", METRIC_NAMES)
    assembler.follow_clock(9000 * SECOND)
    for at_s in (0, 10, *range(7200, 7300, 10)):  # from the clock's jump on
        assembler.rows(scrape(at_s, net_in_bytes__eth0=at_s * 1e6))
    assembler.follow_clock(400 * SECOND)
    for at_s in (110, 120):
        rows = assembler.rows(scrape(at_s, net_in_bytes__eth0=at_s * 1e6))["metrics"].to_pylist()
    assert [(row["ts"].timestamp(), row["net_in_mb_s"]) for row in rows] == [(120.0, 1.0)]

"""The table of CPU modes, and that every source reads its modes by it."""

import numpy as np
import pytest

from functions.connectors import host
from functions.ingest.partial_samples import PartialSamples
from functions.ingest.row_assembly import RowAssembler
from functions.ingest.telegraf import TelegrafReader
from functions.normalize.cpu_modes import (
    CPU_MODES,
    GUEST_MODES,
    MODES_OF,
    cpu_shares,
    of_whole_cores,
)
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW

# Seconds in each mode of /proc/stat within 10 s on 10 cores; user holds the 5 s of guests as well.
SPENT = {
    "user": 30.0, "nice": 5.0, "system": 10.0, "irq": 2.0, "softirq": 3.0, "iowait": 5.0,
    "idle": 35.0, "steal": 10.0, "guest": 5.0, "guest_nice": 1.0,
}  # fmt: skip
EXPECTED = {"cpu_user_pct": 35.0, "cpu_sys_pct": 15.0, "cpu_iowait_pct": 5.0, "cpu_idle_pct": 35.0}


def by_host() -> dict[str, float | None]:
    return host.cpu_shares(dict.fromkeys(SPENT, 1000.0), {m: 1000 + s for m, s in SPENT.items()})


def by_node_exporter() -> dict[str, float | None]:
    samples = PartialSamples()
    for mode, seconds in SPENT.items():
        samples.add("a", ("cpu_s", f"0 {mode}"), 0, 1000.0)
        samples.add("a", ("cpu_s", f"0 {mode}"), 10_000_000, 1000.0 + seconds)
    return last_row(samples)


def by_telegraf() -> dict[str, float | None]:
    apart = SPENT | {host: SPENT[host] - SPENT[guest] for guest, host in GUEST_MODES.items()}
    fields = ",".join(f"usage_{mode}={share}" for mode, share in apart.items())
    line = f"cpu,cpu=cpu-total,host=a {fields} {int(NOW.timestamp())}"
    return last_row(TelegrafReader(METRIC_NAMES).read(line, "s", NOW).readings)


def last_row(samples: PartialSamples) -> dict[str, float | None]:
    row = RowAssembler("test", METRIC_NAMES).rows(samples)["metrics"].to_pylist()[-1]
    return {name: row[name] for name in EXPECTED}


@pytest.mark.parametrize("shares", [by_host, by_node_exporter, by_telegraf])
def test_every_source_makes_the_same_shares_of_the_same_modes(shares) -> None:
    assert shares() == pytest.approx(EXPECTED)


def test_every_mode_is_part_of_one_metric_or_of_the_whole_only() -> None:
    listed = [mode for modes in MODES_OF.values() for mode in modes]
    assert sorted(listed) == sorted(mode for mode, metric in CPU_MODES.items() if metric)
    assert set(GUEST_MODES.values()) <= CPU_MODES.keys()


def test_a_mode_that_is_not_listed_is_part_of_the_whole() -> None:
    shares = cpu_shares(np.array([[1.0, 1.0, 2.0]]), ["user", "idle", "interrupt"])
    assert shares["cpu_user_pct"] == pytest.approx([25])
    assert "cpu_iowait_pct" not in shares


def test_a_decrease_is_a_reset_but_for_the_modes_that_step_back() -> None:
    grown = np.array([[1.0, -0.5, 1.0], [-1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    shares = cpu_shares(grown, ["user", "idle", "system"])
    np.testing.assert_array_equal(shares["cpu_idle_pct"], [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(shares["cpu_user_pct"], [50.0, np.nan, np.nan])


def test_cores_are_summed_and_one_that_is_not_known_counts_nothing() -> None:
    grown = np.array([[1.0, 3.0, np.nan, np.nan], [1.0, 3.0, 3.0, 1.0]])
    shares = cpu_shares(grown, ["user", "idle", "user", "idle"])
    assert shares["cpu_user_pct"] == pytest.approx([25, 50])


def test_a_core_counts_where_all_its_modes_are_known_and_its_idle_time_is_believable() -> None:
    names = ["0 user", "0 system", "0 idle", "1 user", "1 system", "1 idle"]
    grown = np.array([
        [5.0, 1.0, 9.0, 5.0, 1.0, np.nan],
        [5.0, 1.0, -0.02, 14.0, 1.0, -0.02],
    ])  # fmt: skip
    mask = of_whole_cores(grown, names, np.array([[15.0], [15.0]]))
    assert mask[:, [0, 3]].tolist() == [[True, False], [False, True]]

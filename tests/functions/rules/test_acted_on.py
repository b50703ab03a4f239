import numpy as np
import pytest

from functions.rules.acted_on import Act, acted_steps, reboots

SERVERS, METRICS = ("db1", "db2", "web1"), ("load_average", "mem_used_pct")


@pytest.mark.parametrize(
    ("act", "cells"),
    [
        (Act(2, 3, server="db1"), {("db1", m, s) for m in METRICS for s in (2, 3)}),
        (Act(2, 2, pattern="db*", metric="load_average"),
         {("db1", "load_average", 2), ("db2", "load_average", 2)}),
        (Act(-5, 0), {(server, m, 0) for server in SERVERS for m in METRICS}),
        (Act(4, 99, server="web1", metric="mem_used_pct"), {("web1", "mem_used_pct", 4)}),
        (Act(5, 9), set()),
        (Act(0, 1, server="gone"), set()),
        (Act(0, 1, metric="unknown"), set()),
    ],
)  # fmt: skip
def test_an_act_marks_the_steps_of_what_it_concerns(
    act: Act, cells: set[tuple[str, str, int]]
) -> None:
    mask = acted_steps([act], SERVERS, METRICS, 5)
    assert {
        (SERVERS[i], METRICS[j], int(k)) for i, j, k in zip(*np.nonzero(mask), strict=True)
    } == cells


def test_an_uptime_that_falls_is_a_reboot() -> None:
    nan = np.nan
    uptime = np.array([
        [1.0, 1.003, 0.0, 0.003], [9.0, nan, nan, 0.1], [nan, nan, 4.0, 4.003],
        [5.0, 4.9999, 5.0, 5.0], [nan] * 4,
    ])  # fmt: skip
    steps = [(int(i), int(j)) for i, j in zip(*np.nonzero(reboots(uptime)), strict=True)]
    assert steps == [(0, 2), (1, 3)]

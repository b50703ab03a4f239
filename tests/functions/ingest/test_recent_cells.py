from datetime import UTC, datetime

import pyarrow as pa
import pytest

from functions.ingest import recent_cells
from functions.ingest.recent_cells import RecentCells

METRICS = ("cpu_user_pct", "mem_used_pct")
NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


def rows(*values: tuple[str, float | None, float | None]) -> pa.Table:
    return pa.table({
        "server": [server for server, _, _ in values],
        "ts": pa.array([NOON] * len(values), pa.timestamp("us", "UTC")),
        "cpu_user_pct": pa.array([cpu for _, cpu, _ in values], pa.float32()),
        "mem_used_pct": pa.array([memory for _, _, memory in values], pa.float32()),
    })  # fmt: skip


def test_values_of_other_metrics_and_servers_repeat_nothing() -> None:
    cells = RecentCells(METRICS)
    assert cells.add(rows(("a", 1, None), ("a", None, 2), ("b", 3, 4))) == 0
    assert cells.add(rows(("c", 1, 2))) == 0


def test_values_of_the_same_request_and_of_one_before_are_repeated() -> None:
    cells = RecentCells(METRICS)
    assert cells.add(rows(("a", 1, None), ("a", 1, 2))) == 1
    assert cells.add(rows(("a", 1, 2), ("b", 1, 2))) == 2


def test_old_rows_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_cells, "MAX_ROWS", 1)
    cells = RecentCells(METRICS)
    for server in "abcd":
        cells.add(rows((server, 1, 1), (server + "2", 1, 1)))
    assert cells.add(rows(("d", 1, 1))) == 2
    assert cells.add(rows(("a", 1, 1))) == 0


def test_more_metrics_than_an_integer_has_bits_are_told_apart() -> None:
    names = tuple(f"m{i}" for i in range(70))
    table = rows(("a", 1, 2)).drop_columns(["cpu_user_pct", "mem_used_pct"])
    wide = table.append_column("m0", pa.array([1.0])).append_column("m69", pa.array([1.0]))
    cells = RecentCells(names)
    assert cells.add(wide.drop_columns("m69")) == 0
    assert cells.add(wide) == 1

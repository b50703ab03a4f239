from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from storage.config.folders import Folders
from storage.model.schema import table
from storage.model.views import VIEWS
from storage.query.memory_lake import MemoryLake

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryLake]:
    lake = MemoryLake(Folders.at(tmp_path_factory.mktemp("nothing")))
    yield lake
    lake.close()


def put(lake: MemoryLake, name: str, *rows: dict[str, Any]) -> int:
    return lake.put(name, pa.Table.from_pylist(list(rows), table(name).arrow))


def factor(server: str, updates: int, hours: int = 0) -> dict[str, Any]:
    return {
        "scope": "server", "name": server, "metric": "cpu_idle_pct", "bucket": 60, "model": "m",
        "ts": NOON + timedelta(hours=hours), "updates": updates,
    }  # fmt: skip


def test_of_rows_with_one_key_the_last_is_kept_where_the_table_says_so(lake) -> None:
    put(lake, "calibration", factor("a", 1), factor("a", 2), factor("b", 3))
    put(lake, "calibration", factor("b", 4))
    rows = lake.reader.query("SELECT name, updates FROM calibration ORDER BY name").to_pylist()
    assert [(row["name"], row["updates"]) for row in rows] == [("a", 2), ("b", 4)]


def test_else_the_first_is_kept(lake) -> None:
    row = {"server": "a", "metric": "mem_used_pct", "issued_at": NOON}
    assert put(lake, "odds", row | {"p_60m": 0.25}) == 1
    assert put(lake, "odds", row | {"p_60m": 0.5}) == 0
    assert lake.reader.query("SELECT p_60m FROM odds")["p_60m"].to_pylist() == [0.25]


def test_values_are_rounded_as_the_writer_rounds_them(lake) -> None:
    put(lake, "metrics", {"server": "a", "ts": NOON, "mem_used_pct": 1 / 3})
    stored = lake.reader.latest(NOON - timedelta(hours=1), NOON)["mem_used_pct"][0].as_py()
    assert stored != pytest.approx(1 / 3, rel=1e-7)
    assert stored == pytest.approx(1 / 3, rel=0.1)


def test_every_view_shows_the_present_of_the_replay(lake) -> None:
    put(lake, "server_facts", {"server": "late", "ts": NOON, "profile": "database"})
    for view in VIEWS:
        lake.reader.query(f"SELECT * FROM {view.name}")
    lake.at(NOON - timedelta(hours=1))
    assert lake.reader.query("SELECT server FROM servers").num_rows == 0
    lake.at(NOON)
    assert lake.reader.query("SELECT server FROM servers")["server"].to_pylist() == ["late"]


def test_rows_are_forgotten_when_their_retention_is_over(lake) -> None:
    row = {"server": "a", "metric": "m", "bucket": 60, "model": "m"}
    put(lake, "race", *(row | {"ts": NOON - timedelta(days=n)} for n in (6, 8)))
    lake.at(NOON)
    lake.forget()
    assert lake.reader.query("SELECT ts FROM race").num_rows == 1


def test_each_commit_is_logged_at_a_time_of_its_own(lake) -> None:
    lake.at(NOON)
    lake.put("scores", table("scores").arrow.empty_table(), function="score", cursor="c")
    put(lake, "metrics", {"server": "z", "ts": NOON, "mem_used_pct": 1.0})
    first, second = lake.reader.query("SELECT * FROM segments ORDER BY ts DESC LIMIT 2").to_pylist()
    assert (second["function"], second["cursor"], second["rows_committed"]) == ("score", "c", 0)
    assert (first["table_name"], first["first_ts"], first["rows_committed"]) == ("metrics", NOON, 1)
    assert NOON <= second["ts"] < first["ts"]

"""The examples of docs/sql.md read what the lake has: DuckDB, pandas, and Spark where it is."""

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import hoursight
from storage.config.folders import Folders
from storage.lake.extensions import load_extension
from storage.lake.writer import Writer
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture

TEXT = (Path(__file__).parents[1] / "docs" / "sql.md").read_text()
STEP = NOW.replace(minute=0, second=0)
COLUMNS = "server, ts, mem_used_pct_mean"

Capture = pytest.CaptureFixture[bytes]
Rows = list[tuple[Any, ...]]


def example(heading: str) -> str:
    """The code below a heading."""
    _, _, below = TEXT.partition(f"# {heading}\n")
    result = re.search(r"```\w+\n(.*?)```", below, re.DOTALL)
    assert result is not None
    return result[1]


def rows_of(house: LakeFixture, sql: str) -> Rows:
    return [tuple(row.values()) for row in house.reader.query(sql).to_pylist()]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, empty_lake: Path) -> Iterator[LakeFixture]:
    """A lake with merged files, files that were replaced and rows that were written anew."""
    data = tmp_path_factory.mktemp("docs") / "var"
    shutil.copytree(empty_lake, data)
    house = LakeFixture(Folders.at(data), Writer.open(data), Reader.open(data))
    for i in range(3):
        ts = NOW - timedelta(seconds=5 * i)
        house.put("metrics", [{"server": s, "ts": ts, "mem_used_pct": 10.5 * i} for s in "ab"])
        house.put("metrics_5m", [
            {"server": s, "ts": STEP, "mem_used_pct_mean": 1.0 + i, "mem_used_pct_count": 1 + i}
            for s in "abc"[i:]
        ])  # fmt: skip
        house.commit(NOW + timedelta(seconds=i))
    house.writer.merge("metrics")
    yield house
    house.reader.close()
    house.writer.close()


@pytest.fixture
def lake(full: LakeFixture, monkeypatch: pytest.MonkeyPatch, capfdbinary: Capture) -> LakeFixture:
    """The same, once the user has listed the files that count."""
    monkeypatch.chdir(full.folders.data.parent)
    for table in ("metrics", "metrics_5m"):
        command = example("The files that count").replace("metrics_5m", table)
        line, _, target = command.partition(" > ")
        hoursight.main(shlex.split(line)[1:])
        Path(target.strip()).write_bytes(capfdbinary.readouterr().out)
    return full


def test_the_lake_has_what_the_examples_have_to_heed(lake: LakeFixture) -> None:
    gone = lake.one("SELECT count(delete_file) FROM ducklake_list_files('lake', 'metrics_5m')")
    files = lake.one("SELECT count(*) FROM ducklake_list_files('lake', 'metrics')")
    assert (gone, files) == (2, 1)
    assert len(list(Path("var/lake/main/metrics").rglob("*.parquet"))) == 4


def test_duckdb_reads_by_the_catalog(lake: LakeFixture) -> None:
    connection = duckdb.connect()
    for extension in ("ducklake", "sqlite_scanner"):
        load_extension(connection, extension)  # as INSTALL does, without the network
    read = connection.sql(example("DuckDB, with the catalog").partition("\n")[2])
    assert read.fetchall() == rows_of(lake, f"SELECT {COLUMNS} FROM metrics_5m ORDER BY ALL")
    connection.close()


def test_duckdb_reads_the_files_alone(lake: LakeFixture) -> None:
    connection = duckdb.connect()
    read = connection.sql(example("DuckDB, without the catalog"))
    expected = rows_of(lake, "SELECT server, ts, mem_used_pct FROM metrics ORDER BY ALL")
    assert read.fetchall() == expected
    connection.close()


def test_pandas_reads_the_files(lake: LakeFixture) -> None:
    names: dict[str, Any] = {}
    exec(example("pandas"), names)  # noqa: S102 - our own text
    steps = names["steps"]
    read = steps[COLUMNS.split(", ")].sort_values("server").itertuples(index=False, name=None)
    assert list(read) == rows_of(lake, f"SELECT {COLUMNS} FROM metrics_5m ORDER BY ALL")
    assert set(steps) == set(lake.reader.query("FROM metrics_5m LIMIT 0").column_names)


@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None,
    reason="PySpark (400 MB) is no part of the tests: install it to run the example",
)
@pytest.mark.filterwarnings("default")
def test_spark_reads_the_files(lake: LakeFixture) -> None:
    names: dict[str, Any] = {}
    exec(example("Spark"), names)  # noqa: S102 - our own text
    steps = names["steps"]
    read = steps.selectExpr("server", "unix_micros(ts)", "mem_used_pct_mean").orderBy("server")
    expected = f"SELECT {COLUMNS.replace('ts', 'epoch_us(ts)')} FROM metrics_5m ORDER BY ALL"
    assert [tuple(row) for row in read.collect()] == rows_of(lake, expected)
    names["spark"].stop()

"""The keeper is killed at random points: no row is lost, none is doubled."""

import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from storage import segment
from storage.folders import Folders
from storage.keeper import Keeper
from storage.reader import Reader
from storage.schema import table
from tests.conftest import NOW

KILLS = 20
ROWS = 50

COUNTS = """
SELECT
    (SELECT count(*) FROM metrics) AS rows,
    (SELECT count(DISTINCT (server, ts)) FROM metrics) AS distinct_rows,
    (SELECT count(*) FROM processes) AS events,
    (SELECT count(DISTINCT process) FROM processes) AS distinct_events
"""


def write_some(folders: Folders, number: int) -> None:
    """One segment for a table with a key and one for a table that only the ledger protects."""
    when = NOW + timedelta(seconds=number)
    samples = [{"server": f"s{i}", "ts": when, "load_average": 1.0} for i in range(ROWS)]
    events = [{"process": f"{number}", "ts": when, "event": "started"}]
    for name, rows in (("metrics", samples), ("processes", events)):
        told = segment.Provenance(table=name, function="killed", created_at=when)
        segment.write(folders, pa.Table.from_pylist(rows, table(name).arrow), told)


def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    folders, dice, written = Folders.at(tmp_path).create(), random.Random(11), 0
    Keeper.open(tmp_path).close()
    reader = Reader.open(tmp_path)
    for _ in range(KILLS):
        seen = reader.query("SELECT count(*) AS n FROM segments")["n"][0].as_py()
        write_some(folders, written)
        keeper = subprocess.Popen([sys.executable, "-m", "storage", "--data", str(tmp_path)])
        while not _committed_since(reader, seen):
            assert keeper.poll() is None, "the keeper ended by itself"
        doomed_at = time.monotonic() + dice.uniform(0, 0.2)
        written += 1
        while time.monotonic() < doomed_at:
            write_some(folders, written)
            written += 1
        keeper.kill()
        keeper.wait()
        assert reader.query("SELECT count(*) % 50 AS torn FROM metrics")["torn"][0].as_py() == 0
    _drain(tmp_path)
    counts = reader.query(COUNTS).to_pylist()[0]
    rows = written * ROWS
    assert counts == {
        "rows": rows, "distinct_rows": rows, "events": written, "distinct_events": written,
    }  # fmt: skip
    reader.close()


def _committed_since(reader: Reader, seen: int) -> bool:
    return bool(
        reader.query("SELECT count(*) > $n AS more FROM segments", n=seen)["more"][0].as_py()
    )


def _drain(data: Path) -> None:
    keeper = Keeper.open(data)
    while keeper.commit_waiting(NOW + timedelta(days=1)).segments:
        pass
    keeper.close()

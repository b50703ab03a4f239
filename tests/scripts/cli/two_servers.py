"""A data folder of two servers, and commands run on it."""

from pathlib import Path

import hoursight
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture

__all__ = ["fill", "run", "servers"]


def fill(house: LakeFixture) -> Path:
    """Commit a row each of two servers, close the writer, and return the data folder."""
    for server in ("ppdb001", "ppdb002"):
        house.put("metrics", [{"server": server, "ts": NOW, "mem_used_pct": 61.5}])
    house.commit()
    house.writer.close()
    return house.folders.data


def run(*arguments: str) -> int:
    """Run the command; return its exit code."""
    try:
        hoursight.main(list(arguments))
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


def servers(data: Path) -> list[str]:
    """The servers of a lake."""
    reader = Reader.open(data)
    names: list[str] = reader.query("SELECT server FROM servers ORDER BY 1")["server"].to_pylist()
    reader.close()
    return names

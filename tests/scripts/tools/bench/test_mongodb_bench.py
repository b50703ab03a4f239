from pathlib import Path
from types import SimpleNamespace
from typing import cast

from functions.connectors.source_file import read_source
from scripts.mongod import Mongod
from scripts.tools.bench import mongodb_bench
from scripts.tools.bench.mongodb_bench import source_text
from storage.config.folders import Folders


def test_the_source_file_is_a_valid_one(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    mongod = cast(Mongod, SimpleNamespace(port=27017, folder=tmp_path))
    text = source_text(mongod, "day", "change_stream = true")
    source = read_source("bench", text, Folders.at(tmp_path))
    assert source.file.kind == "mongodb"
    assert len(source.mapping.entries) == 14


def test_the_best_turn_is_taken_for_rate_and_cpu_apart() -> None:
    assert mongodb_bench._best([(3.0, 10.0), (4.0, 9.0)]) == (4.0, 10.0)

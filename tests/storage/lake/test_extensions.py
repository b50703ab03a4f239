import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from storage.lake.extensions import ExtensionMissing, load_extension

OPEN_AND_READ = """
import sys
from storage.lake.writer import Writer
from storage.query.reader import Reader
Writer.open(sys.argv[1]).close()
with Reader.open(sys.argv[1]).start("SELECT count(*) AS n FROM metrics") as running:
    print(running.rows().to_pylist())
"""


@pytest.mark.parametrize("home", [None, "/dev/null"])
def test_a_user_without_a_home_folder_has_a_lake(tmp_path: Path, home: str | None) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "HOME"}
    if home is not None:
        environment["HOME"] = home
    ran = subprocess.run(
        [sys.executable, "-c", OPEN_AND_READ, str(tmp_path)], env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.stderr, ran.stdout.strip()) == ("", "[{'n': 0}]")


def test_an_extension_is_loaded_from_its_package(tmp_path: Path) -> None:
    connection = duckdb.connect(config={"home_directory": str(tmp_path)})
    load_extension(connection, "ducklake")
    loaded = connection.execute(
        "SELECT loaded, installed FROM duckdb_extensions() WHERE extension_name = 'ducklake'"
    ).fetchone()
    assert (loaded, list(tmp_path.iterdir())) == ((True, False), [])


def test_a_missing_package_is_named() -> None:
    with (
        duckdb.connect() as connection,
        pytest.raises(ExtensionMissing, match="DuckDB extension vss is missing: pip install"),
    ):
        load_extension(connection, "vss")

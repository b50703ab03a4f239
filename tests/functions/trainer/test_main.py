"""The process `trainer`, as it is started."""

import subprocess
import sys

import pytest

CODE = "import functions.trainer.__main__, sys; print([n for n in NAMES if n in sys.modules])"


@pytest.mark.parametrize("names", [["numpy", "pyarrow", "duckdb", "torch", "pandas"]])
def test_an_idle_trainer_loads_neither_arrow_nor_a_database_nor_torch(names: list[str]) -> None:
    code = CODE.replace("NAMES", repr(names))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

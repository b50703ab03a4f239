"""The running system needs no torch: each of its processes starts with `import torch` blocked."""

import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "lightning", "pytorch_forecasting", "pandas"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
"""

RUN = """
from datetime import UTC, datetime, timedelta
from functions.runtime import registry
from functions.runtime.runner import Runner
from storage.folders import Folders
from storage.keeper import Keeper
from storage.settings import Settings, SimulatorSettings, SourceSettings

data = sys.argv[1]
now = datetime.now(UTC)
keeper = Keeper.open(data)
fleet = SimulatorSettings(enabled=True, servers=2, history_days=1.1)
settings = Settings(sources=SourceSettings(simulator=fleet))
runner = Runner(Folders.at(data), settings)
for name in ("simulator", "rollup", "forecast", "risk"):
    run = runner.run(registry.find(name), "test", now)
    assert run.error is None, run.error
    keeper.commit_waiting(now)
import storage.__main__, functions.__main__, web.__main__, hoursight, scripts.launch, scripts.doctor
from hoursight import connect
with connect(data) as lake:
    print(lake.sql("SELECT count(*) AS n FROM forecasts WHERE p50 IS NOT NULL")["n"][0].as_py())
"""


def test_the_whole_chain_runs_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + RUN, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "28"


def test_the_block_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "import torch"], capture_output=True, text=True
    )
    assert "torch is not installed here" in done.stderr


@pytest.mark.parametrize("command", ["demo", "up", "call", "sql", "schema", "functions", "doctor"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "from hoursight import main; main()", command, "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert f"Example: hoursight {command}" in done.stdout

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
from functions.engine.function_catalog import FunctionCatalog
from functions.engine.runner import Runner
from storage.config.folders import Folders
from storage.lake.writer import Writer
from storage.config.settings import Settings, SimulatorSettings, SourceSettings

data = sys.argv[1]
now = datetime.now(UTC)
writer = Writer.open(data)
fleet = SimulatorSettings(enabled=True, servers=2, history_days=1.1)
settings = Settings(sources=SourceSettings(simulator=fleet))
runner = Runner(Folders.at(data), settings)
catalog = FunctionCatalog(Folders.at(data), settings)
for name in ("simulator", "rollup", "forecast", "risk"):
    run = runner.run(catalog.find(name).function, "test", now)
    assert run.error is None, run.error
    writer.commit_waiting(now)
import storage.__main__, functions.__main__, web.__main__, hoursight
import scripts.cli.launch, scripts.cli.doctor
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


@pytest.mark.parametrize(
    "command", ["demo", "up", "call", "sql", "schema", "functions", "doctor", "backtest"]
)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "from hoursight import main; main()", command, "--help"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert f"Example: hoursight {command}" in done.stdout


DOOR = """
import sys
from datetime import UTC, datetime, timedelta
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import hoursight

start = datetime(2026, 1, 5, tzinfo=UTC)
noise = np.random.default_rng(0).normal(size=400)
wave = 50 + 20 * np.sin(np.arange(400) * 2 * np.pi / 288) + noise
context = np.full((1, 288, 14), np.nan, np.float32)
context[0, :, 5] = wave[:288]
forecast = hoursight.Forecaster.open().predict(context, start, ["generic"])
assert forecast.state[0].tolist() == ["abstained"] * 5 + ["ok"] + ["abstained"] * 8
times = [start + timedelta(minutes=5 * i) for i in range(400)]
rows = {"ts": times, "server": ["a"] * 400, "mem_used_pct": wave}
pq.write_table(pa.table(rows), sys.argv[1] + "/h.parquet")
hoursight.main(["backtest", sys.argv[1] + "/h.parquet", "--html", sys.argv[1] + "/r.html"])
"""


def test_the_door_and_the_backtest_need_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + DOOR, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert "The served forecast" in done.stdout
    assert (tmp_path / "r.html").exists()

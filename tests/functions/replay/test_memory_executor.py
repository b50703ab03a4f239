from pathlib import Path

import pyarrow as pa
import pytest

from functions.engine.executors.function_call import CallRequest
from functions.engine.forecaster import SHIPPED, Forecaster
from functions.engine.function import Batch, function
from functions.engine.serving_model import ServingModel
from functions.engine.triggers import every
from functions.engine.window import Window
from functions.replay.memory_executor import MemoryExecutor, OpenModel
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.model.schema import table
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return Forecaster.open(SHIPPED)


def test_a_function_reads_the_lake_in_memory_and_has_the_model(tmp_path: Path, model) -> None:
    seen = []

    @function(on=every("5m"), writes="marks")
    def look(window: Window, model: ServingModel) -> Batch:
        rows = window.sql("SELECT server FROM metrics").to_pylist()
        seen.append((window.now, rows, model.serving().hash))
        return Batch()

    lake = MemoryLake(Folders.at(tmp_path))
    row = {"server": "a", "ts": NOW, "mem_used_pct": 5.0}
    lake.put("metrics", pa.Table.from_pylist([row], table("metrics").arrow))
    MemoryExecutor(lake, model, Settings()).call(look, CallRequest(NOW))
    assert seen == [(NOW, [{"server": "a"}], model.hash)]
    lake.close()


def test_the_shipped_model_has_no_path_as_in_a_data_folder(tmp_path: Path, model) -> None:
    assert OpenModel(model).path is None
    copy = tmp_path / "own.onnx"
    copy.write_bytes(SHIPPED.read_bytes())
    assert OpenModel(Forecaster.open(copy)).path == copy

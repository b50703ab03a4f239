from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.engine.forecaster import SHIPPED
from functions.engine.function import Batch
from functions.engine.window import Window
from functions.model_change import model_change
from storage.config.folders import Folders
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[MemoryLake]:
    """A data folder with a copy of the shipped model."""
    folders = Folders.at(tmp_path).create()
    (folders.models / "copy.onnx").write_bytes(SHIPPED.read_bytes())
    lake = MemoryLake(folders)
    yield lake
    lake.close()


def changed(lake: MemoryLake, **body: Any) -> Batch:
    batch: Batch = model_change.call(window=Window(lake.reader, NOW), body=body)
    return batch


def test_who_promoted_a_model_and_why_is_recorded_and_a_rollback_too(lake: MemoryLake) -> None:
    made = changed(lake, action="promote", model="copy", reason="calm nights", made_by="alice")
    (row,) = made.rows["models"].to_pylist()
    assert (row["event"], row["detail"]) == ("promoted", "by alice: calm nights")
    assert made.answer == {"serves": "copy"}
    assert lake.reader.folders.own_model is not None
    back = changed(lake, action="rollback", reason="worse")
    assert (back.rows["models"]["event"][0].as_py(), back.answer) == (
        "rolled back", {"serves": "shipped"},
    )  # fmt: skip
    assert lake.reader.folders.own_model is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"action": "promote", "model": "copy", "reason": " "}, "reason is empty"),
        ({"action": "promote", "reason": "x"}, "model is to be given"),
        ({"action": "rollback", "model": "copy", "reason": "x"}, "model is to be given"),
        ({"action": "promote", "model": "gone", "reason": "x"}, "no model 'gone'"),
        ({"action": "rollback", "reason": "x"}, "no model was ever promoted"),
        ({"action": "party", "reason": "x"}, "action is 'party'"),
        ({"reason": "x"}, "action is missing"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    lake: MemoryLake, body: dict[str, Any], reason: str
) -> None:
    batch = changed(lake, **body)
    assert reason in batch.reasons[0]
    assert not batch.rows
    assert lake.reader.folders.own_model is None

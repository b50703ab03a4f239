from pathlib import Path

import pytest

from functions.engine.forecaster import SHIPPED, ModelUnusable
from scripts.cli.model_list import promote, roll_back, show_models
from storage.config.folders import Folders
from storage.inbox.segment import provenance_of


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A registry with a copy of the shipped model."""
    folders = Folders.at(tmp_path).create()
    (folders.models / "copy.onnx").write_bytes(SHIPPED.read_bytes())
    return folders


def states(folders: Folders, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    show_models(folders.data)
    lines = capsys.readouterr().out.splitlines()[1:]
    return {line.split()[0]: line.split()[1] for line in lines}


def test_a_damaged_model_is_listed_as_unusable(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders.models / "torn.onnx").write_bytes(b"torn")
    assert states(folders, capsys)["torn"] == "unusable"


def test_a_model_that_cannot_be_used_is_not_promoted(folders: Folders) -> None:
    (folders.models / "torn.onnx").write_bytes(b"torn")
    with pytest.raises(ModelUnusable):
        promote(folders.data, "torn", lambda _: None)
    assert folders.own_model is None


def test_promotion_and_rollback_are_recorded(folders: Folders) -> None:
    lines: list[str] = []
    promote(folders.data, "copy", lines.append)
    assert folders.own_model is not None
    roll_back(folders.data, lines.append)
    assert folders.own_model is None
    assert lines[0] == "copy serves from the next cycle on. Back: hoursight models rollback"
    assert lines[1].endswith(" serves again.")
    assert lines[2].startswith("Its calibration and its weights in the race")
    tables = [provenance_of(path).table for path in folders.inbox.glob("*.parquet")]
    assert tables == ["models", "models"]

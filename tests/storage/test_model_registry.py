import json
import os
from pathlib import Path

import pytest

from storage import model_registry
from storage.config.folders import Folders
from storage.model_registry import ModelMissing
from storage.platform.trusted_files import NotTrusted
from tests.conftest import NOW, LakeFixture


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Two models that are distinguished by their bytes."""
    folders = Folders.at(tmp_path).create()
    for name in ("first", "second"):
        (folders.models / f"{name}.onnx").write_text(name)
    (folders.models / "first.pt").write_text("weights of first")
    return folders


def serving(folders: Folders) -> str | None:
    return folders.own_model.read_text() if folders.own_model else None


def test_a_promoted_model_serves_and_can_be_rolled_back(folders: Folders) -> None:
    model_registry.promote(folders, "first")
    model_registry.promote(folders, "second")
    assert serving(folders) == "second"
    model_registry.rollback(folders)
    assert serving(folders) == "first"
    model_registry.rollback(folders)
    assert serving(folders) == "second"


def test_the_shipped_model_can_be_restored_like_any_other(folders: Folders) -> None:
    model_registry.promote(folders, "first")
    model_registry.rollback(folders)
    assert serving(folders) is None
    model_registry.rollback(folders)
    assert serving(folders) == "first"
    model_registry.promote(folders, model_registry.SHIPPED)
    assert serving(folders) is None


def test_a_model_that_others_can_write_is_neither_promoted_nor_rolled_back_to(
    folders: Folders,
) -> None:
    model_registry.promote(folders, "first")
    model_registry.promote(folders, "second")
    for name in ("first", "previous"):
        (folders.models / f"{name}.onnx").chmod(0o666)
    with pytest.raises(NotTrusted, match=r"other users can write to .*first\.onnx"):
        model_registry.promote(folders, "first")
    with pytest.raises(NotTrusted, match=r"other users can write to .*previous\.onnx"):
        model_registry.rollback(folders)
    assert serving(folders) == "second"


def test_serving_and_previous_are_not_listed_as_models(folders: Folders) -> None:
    model_registry.promote(folders, "first")
    model_registry.promote(folders, "second")
    assert set(model_registry.names(folders)) == {"first", "second"}


def test_an_unknown_model_is_refused_with_those_that_exist(folders: Folders) -> None:
    with pytest.raises(ModelMissing, match=r"no model 'third' .* shipped, first, second"):
        model_registry.promote(folders, "third")
    with pytest.raises(ModelMissing, match="no model was ever promoted"):
        model_registry.rollback(folders)
    assert serving(folders) is None


def test_the_weights_of_the_serving_model_are_found(folders: Folders) -> None:
    model_registry.promote(folders, "first")
    assert folders.own_model
    result = model_registry.weights_of(folders, folders.own_model)
    assert result is not None
    assert result.read_text() == "weights of first"
    model_registry.promote(folders, "second")
    assert model_registry.weights_of(folders, folders.own_model) is None


def test_events_of_models_become_rows_in_the_lake(house: LakeFixture) -> None:
    path = house.folders.create().models / "first.onnx"
    path.write_text("first")
    card = {"contract": 1, "fixture": "much"}
    model_registry.model_event_row(house.folders, "promoted", path, "better by 4 %", card, NOW)
    house.commit()
    row = house.reader.query("SELECT event, model, detail, card FROM models").to_pylist()[0]
    assert (row["event"], row["detail"]) == ("promoted", "better by 4 %")
    assert row["model"] == model_registry.fingerprint(path)
    assert json.loads(row["card"]) == {"contract": 1}


def test_the_oldest_candidates_are_removed_and_the_serving_one_stays(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    for number in range(23):
        path = folders.models / f"m{number:02}.onnx"
        path.write_text(str(number))
        os.utime(path, (number, number))
    (folders.models / "m01.pt").touch()
    model_registry.promote(folders, "m00")
    assert model_registry.prune(folders) == ("m01", "m02")
    assert len(model_registry.names(folders)) == 21
    assert not (folders.models / "m01.pt").exists()
    assert model_registry.prune(folders) == ()

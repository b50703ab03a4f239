import json
from pathlib import Path

import pytest

from storage import model_registry
from storage.config.folders import Folders
from storage.model_registry import ModelMissing
from tests.conftest import NOW, LakeFixture


@pytest.fixture
def shelf(tmp_path: Path) -> Folders:
    """Two models that are told apart by their bytes."""
    folders = Folders.at(tmp_path).create()
    for name in ("first", "second"):
        (folders.models / f"{name}.onnx").write_text(name)
    (folders.models / "first.pt").write_text("weights of first")
    return folders


def serving(shelf: Folders) -> str | None:
    return shelf.own_model.read_text() if shelf.own_model else None


def test_the_promoted_model_serves_and_the_one_before_can_come_back(shelf: Folders) -> None:
    model_registry.promote(shelf, "first")
    model_registry.promote(shelf, "second")
    assert serving(shelf) == "second"
    model_registry.rollback(shelf)
    assert serving(shelf) == "first"
    model_registry.rollback(shelf)
    assert serving(shelf) == "second"


def test_the_packages_own_model_comes_back_like_any_other(shelf: Folders) -> None:
    model_registry.promote(shelf, "first")
    model_registry.rollback(shelf)
    assert serving(shelf) is None
    model_registry.rollback(shelf)
    assert serving(shelf) == "first"
    model_registry.promote(shelf, model_registry.SHIPPED)
    assert serving(shelf) is None


def test_serving_and_previous_are_no_models_of_their_own(shelf: Folders) -> None:
    model_registry.promote(shelf, "first")
    model_registry.promote(shelf, "second")
    assert set(model_registry.names(shelf)) == {"first", "second"}


def test_an_unknown_model_is_refused_with_those_there_are(shelf: Folders) -> None:
    with pytest.raises(ModelMissing, match=r"no model 'third' .* shipped, first, second"):
        model_registry.promote(shelf, "third")
    with pytest.raises(ModelMissing, match="no model was ever promoted"):
        model_registry.rollback(shelf)
    assert serving(shelf) is None


def test_weights_are_found_by_what_serves(shelf: Folders) -> None:
    model_registry.promote(shelf, "first")
    assert shelf.own_model
    found = model_registry.weights_of(shelf, shelf.own_model)
    assert found is not None
    assert found.read_text() == "weights of first"
    model_registry.promote(shelf, "second")
    assert model_registry.weights_of(shelf, shelf.own_model) is None


def test_what_happens_to_a_model_becomes_a_row_in_the_lake(house: LakeFixture) -> None:
    path = house.folders.create().models / "first.onnx"
    path.write_text("first")
    card = {"contract": 1, "fixture": "much"}
    model_registry.model_event_row(house.folders, "promoted", path, "better by 4 %", card, NOW)
    house.commit()
    row = house.reader.query("SELECT event, model, detail, card FROM models").to_pylist()[0]
    assert (row["event"], row["detail"]) == ("promoted", "better by 4 %")
    assert row["model"] == model_registry.fingerprint(path)
    assert json.loads(row["card"]) == {"contract": 1}

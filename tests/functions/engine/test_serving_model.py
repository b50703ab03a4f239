import shutil
from pathlib import Path

import onnx
import pytest

from functions.engine.forecaster import SHIPPED, ModelUnusable
from functions.engine.serving_model import ServingModel
from storage.config.folders import Folders


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model under another hash."""
    proto = onnx.load(str(SHIPPED))
    proto.producer_name = "another training"
    path = tmp_path_factory.mktemp("models") / "retrained.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_the_shipped_model_serves_when_there_is_no_other(folders: Folders) -> None:
    model = ServingModel(folders)
    assert model.path is None
    assert model.serving().path == SHIPPED


def test_a_model_in_the_data_folder_serves_instead(folders: Folders, retrained: Path) -> None:
    shipped = ServingModel(folders).serving().hash
    own = shutil.copy(retrained, folders.models / "serving.onnx")
    model = ServingModel(folders)
    assert model.path == own
    assert model.serving().path == own
    assert model.serving().hash != shipped


def test_a_broken_model_is_refused_in_words_every_time(folders: Folders) -> None:
    model = ServingModel(folders)
    model.serving()
    (folders.models / "serving.onnx").write_bytes(SHIPPED.read_bytes()[:1000])
    for _ in range(2):  # the shipped one, open already, does not take its place
        with pytest.raises(ModelUnusable, match=r"serving\.onnx: truncated or not an ONNX model"):
            model.serving()


def test_a_link_to_a_model_that_is_gone_is_refused(folders: Folders) -> None:
    (folders.models / "serving.onnx").symlink_to("gone.onnx")
    with pytest.raises(ModelUnusable, match=r"serving\.onnx: cannot be read .*No such file"):
        ServingModel(folders).serving()


def test_a_model_that_others_can_write_is_refused_and_does_not_serve(folders: Folders) -> None:
    own = folders.models / "serving.onnx"
    shutil.copy(SHIPPED, own)
    own.chmod(0o666)
    with pytest.raises(ModelUnusable, match=r"other users can write to .*serving\.onnx"):
        ServingModel(folders).serving()


def test_a_model_is_opened_once(folders: Folders) -> None:
    model = ServingModel(folders)
    assert model.serving() is model.serving()


def test_a_model_is_opened_again_when_its_file_changes(folders: Folders, retrained: Path) -> None:
    own = folders.models / "serving.onnx"
    shutil.copy(SHIPPED, own)
    model = ServingModel(folders)
    before = model.serving()
    shutil.copy(retrained, own)
    assert model.serving().hash != before.hash


def test_the_shipped_model_serves_again_when_the_other_is_taken_away(folders: Folders) -> None:
    own = folders.models / "serving.onnx"
    own.write_bytes(b"no model")
    model = ServingModel(folders)
    with pytest.raises(ModelUnusable):
        model.serving()
    own.unlink()
    assert model.serving().path == SHIPPED

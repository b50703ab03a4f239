from pathlib import Path

import pytest

from storage.config.folders import Folders, default_data


def test_the_paths_of_a_relative_data_folder_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = Folders.at("data")
    assert folders.data == tmp_path / "data"
    assert folders.inbox == tmp_path / "data" / "inbox"


def test_create_makes_missing_folders_and_leaves_existing_files(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path / "deep" / "data").create()
    (folders.inbox / "segment").write_text("rows")
    assert folders.create() is folders
    assert (folders.inbox / "segment").read_text() == "rows"
    assert sorted(p.name for p in folders.data.iterdir()) == [
        "announce", "committed", "inbox", "lake", "models", "rejected",
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [("", "var"), ("/srv/lake", "/srv/lake")])
def test_the_default_data_folder_is_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("HOURSIGHT_DATA", value)
    assert default_data() == Path(expected)


def test_a_model_in_use_is_named_also_when_its_link_is_broken(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    assert folders.own_model is None
    (folders.models / "serving.onnx").symlink_to(tmp_path / "missing.onnx")
    assert folders.own_model == folders.models / "serving.onnx"

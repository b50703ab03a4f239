"""Files of the user, and the last good version of each."""

import os
from pathlib import Path

import pytest

from functions.engine.executors.worker_protocol import CodeSource
from functions.engine.function import Declared
from functions.engine.triggers import request
from functions.engine.user_files import (
    FUNCTIONS,
    SOURCES,
    FileFolder,
    LastGoodVersions,
    LoadedVersion,
    UserFile,
)
from storage.config.folders import Folders

MINE = Declared("mine", (request("path"),), ("metrics",), "", (), "hash")
VERSION = LoadedVersion(b"good", (MINE,))


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for folder in (FUNCTIONS, SOURCES):
        folder.at(Folders.at(tmp_path)).mkdir()
    return Folders.at(tmp_path)


def test_tests_shared_modules_and_empty_files_are_not_sources(folders: Folders) -> None:
    for name in ("mine.py", "_shared.py", "test_mine.py", "notes.txt"):
        (folders.functions / name).write_text("x = 1\n")
    (folders.functions / "empty.py").write_text(" \n")
    assert list(FUNCTIONS.sources(folders)) == ["mine"]


def test_a_source_file_can_be_turned_off_and_a_damaged_one_counts_as_on(folders: Folders) -> None:
    for name, text in {"on": "", "off": "enabled = false", "damaged": "enabled = ["}.items():
        (folders.sources / f"{name}.toml").write_text(text + "\nkind = 'files'\n")
    assert sorted(SOURCES.sources(folders)) == ["damaged", "on"]
    assert list(SOURCES.turned_off(folders)) == ["off"]


def test_a_version_is_kept_until_its_file_is_gone(folders: Folders) -> None:
    versions = LastGoodVersions(folders)
    versions.save("mine", VERSION)
    assert LastGoodVersions(folders).load("mine") == VERSION
    assert versions.forget(["mine", "other"]) == set()
    assert versions.forget(["other"]) == {"mine"}
    assert versions.load("mine") is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"text": 1}'])
def test_a_damaged_version_counts_as_none(folders: Folders, content: bytes) -> None:
    versions = LastGoodVersions(folders)
    versions.save("mine", VERSION)
    (folders.functions / ".last-good" / "mine.json").write_bytes(content)
    assert versions.load("mine") is None


@pytest.mark.parametrize("folder", [FUNCTIONS, SOURCES])
def test_a_file_that_others_can_write_is_refused_and_its_text_is_not_read(
    folders: Folders, folder: FileFolder
) -> None:
    path = folder.at(folders) / f"mine{folder.suffix}"
    path.write_text("text = 'of others'\n")
    path.chmod(0o666)
    source = folder.sources(folders)["mine"]
    assert source.text == b""
    assert f"other users can write to {path}" in source.refusal
    path.chmod(0o644)
    assert folder.sources(folders)["mine"].refusal == ""


def test_a_pipe_stops_neither_the_files_nor_the_modules_beside_it(folders: Folders) -> None:
    for name in ("pipe.py", "_pipe.py"):
        os.mkfifo(folders.functions / name)
    (folders.functions / "_shared.py").write_text("x = 1\n")
    assert "not a regular file" in FUNCTIONS.sources(folders)["pipe"].refusal
    assert FUNCTIONS.shared_modules(folders) == b"x = 1\n"


def test_a_version_that_others_can_write_counts_as_none(
    folders: Folders, caplog: pytest.LogCaptureFixture
) -> None:
    versions = LastGoodVersions(folders)
    versions.save("mine", VERSION)
    (folders.functions / ".last-good" / "mine.json").chmod(0o666)
    assert versions.load("mine") is None
    assert "last good version of mine is not used" in caplog.text


def test_a_file_concerns_its_own_name_its_functions_and_their_paths() -> None:
    file = UserFile(FUNCTIONS, CodeSource(path="x/file.py", text=b"new"), VERSION)
    assert [file.concerns(name) for name in ("file", "mine", "path", "other")] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_file_is_loaded_when_its_text_is_that_of_the_last_good_version() -> None:
    same, changed = (CodeSource(path="x/mine.py", text=text) for text in (b"good", b"new"))
    assert UserFile(FUNCTIONS, same, VERSION).is_loaded
    assert not UserFile(FUNCTIONS, changed, VERSION).is_loaded
    assert UserFile(FUNCTIONS, changed, None).functions == ()

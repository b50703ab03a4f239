"""Files of a watched folder: quiet, open for writing, and moved away."""

import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from functions.connectors import folder_files
from functions.connectors.folder_files import (
    FolderFile,
    Looks,
    base_name,
    ending_of,
    open_for_writing,
    reject,
)
from functions.connectors.real_folder import RealFolder
from tests.conftest import NOW

SECOND = timedelta(seconds=1)


def touched(path: Path, age_s: float = 60) -> Path:
    path.write_text("a\n")
    os.utime(path, (NOW.timestamp() - age_s,) * 2)
    return path


def test_a_file_is_open_for_writing_until_its_writer_closes_it(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.csv", RealFolder(tmp_path)
    with path.open("w"):
        assert open_for_writing(folder, "a.csv") is True
    with path.open():  # a reader is not a writer
        assert open_for_writing(folder, "a.csv") is False


@pytest.mark.parametrize(
    ("kind", "is_open"), [("nfs4", None), ("fuse.sshfs", None), ("ext4", True)]
)
def test_on_a_network_file_system_a_refused_lease_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_open: bool | None
) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4")]
    mounts.append(SimpleNamespace(mountpoint=str(tmp_path), fstype=kind))
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: mounts)
    with (tmp_path / "a.csv").open("w"):
        assert open_for_writing(RealFolder(tmp_path), "a.csv") is is_open


def test_a_file_without_leases_is_complete_after_a_longer_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fcntl.F_SETLEASE")
    path, folder = touched(tmp_path / "a.csv"), RealFolder(tmp_path)
    assert open_for_writing(folder, "a.csv") is None
    for quiet, complete in ((60 * SECOND, False), (folder_files.UNKNOWN_QUIET, True)):
        file = FolderFile(folder, "a.csv", path.stat(), quiet, quiet)
        assert file.is_complete(2 * SECOND) is complete


@pytest.mark.parametrize(("age_s", "quiet_s"), [(60, 60), (0, 0), (-86400, 0)])
def test_a_file_is_quiet_since_its_last_change_and_never_before_it(
    tmp_path: Path, age_s: float, quiet_s: float
) -> None:
    touched(tmp_path / "a.csv", age_s)
    (file,) = Looks(RealFolder(tmp_path)).files(NOW)
    assert file.quiet == quiet_s * SECOND


def test_a_file_dated_in_the_future_is_quiet_since_it_was_seen_unchanged(tmp_path: Path) -> None:
    path, looks = touched(tmp_path / "a.csv", -86400), Looks(RealFolder(tmp_path))
    looks.files(NOW)
    assert [file.quiet for file in looks.files(NOW + 3 * SECOND)] == [3 * SECOND]
    with path.open("a") as file:
        file.write("b\n")
    os.utime(path, (NOW.timestamp() + 86400,) * 2)
    assert [file.quiet for file in looks.files(NOW + 4 * SECOND)] == [0 * SECOND]


def test_hidden_and_unfinished_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    for name in (".a.csv", "a.csv.part", "a.csv.partial", "a.csv.tmp", "new.csv"):
        touched(tmp_path / name)
    touched(tmp_path / "old.csv", 120)
    (tmp_path / "done").mkdir()
    assert [file.name for file in Looks(RealFolder(tmp_path)).files(NOW)] == ["old.csv", "new.csv"]


@pytest.mark.parametrize(
    ("name", "base", "ending"),
    [
        ("load.csv", "load.csv", ".csv"),
        ("LOAD.CSV", "LOAD.CSV", ".csv"),
        ("load.csv.1", "load.csv", ".csv"),
        ("load.jsonl-20260506", "load.jsonl", ".jsonl"),
        ("load.csv.2026-05-06.1", "load.csv", ".csv"),
        ("load.csv.old", "load.csv", ".csv"),
        ("load-1.csv", "load-1.csv", ".csv"),
        ("load.csv.gz", "load.csv.gz", ".gz"),
        ("load.xlsx", "load.xlsx", ".xlsx"),
    ],
)
def test_a_rotated_file_has_the_form_of_its_former_name(name: str, base: str, ending: str) -> None:
    assert (base_name(name), ending_of(name)) == (base, ending)


def test_a_file_that_was_moved_away_and_back_has_another_stamp(tmp_path: Path) -> None:
    path, folder = touched(tmp_path / "a.csv"), RealFolder(tmp_path)
    before = folder.stamp("a.csv")
    (tmp_path / "done" / folder.move("a.csv", "done")).rename(path)
    assert folder.stamp("a.csv") not in (before, "")
    assert folder.stamp("a.csv", "done") == ""


def test_a_file_is_moved_beside_one_of_its_name(tmp_path: Path) -> None:
    folder, names = RealFolder(tmp_path), []
    for _ in range(3):
        touched(tmp_path / "a.csv")
        names.append(folder.move("a.csv", "done"))
    assert names == ["a.csv", "a-2.csv", "a-3.csv"]


def test_a_rejected_file_says_why_and_how_to_try_again(tmp_path: Path) -> None:
    touched(tmp_path / "a.csv")
    name = reject(RealFolder(tmp_path), "a.csv", "no time column")
    reason = (tmp_path / "rejected" / f"{name}.reason.txt").read_text()
    assert reason.startswith("no time column\n")
    assert f"move the file back to '{tmp_path}': it is read from its beginning" in reason

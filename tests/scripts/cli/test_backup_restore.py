from pathlib import Path

import pytest

from scripts.cli import backup_restore
from storage.model.schema import TABLES
from tests.conftest import LakeFixture
from tests.scripts.cli.two_servers import fill, run, servers


@pytest.fixture
def data(house: LakeFixture) -> Path:
    return fill(house)


def test_a_backup_and_its_restore_print_what_they_contain(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, again = str(tmp_path / "b.tar"), str(tmp_path / "again")
    assert run("backup", archive, "--data", str(data)) == 0
    assert f"8 rows in {len(TABLES)} tables, 0 waiting segments" in capsys.readouterr().out
    assert run("restore", archive, "--data", again) == 0
    assert "each file and table verified" in capsys.readouterr().out
    assert servers(Path(again)) == ["ppdb001", "ppdb002"]


def test_a_restore_over_a_folder_in_use_is_an_error_with_the_remedy(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("backup", str(tmp_path / "b.tar"), "--data", str(data))
    assert run("restore", str(tmp_path / "b.tar"), "--data", str(data)) == 1
    assert "is not empty: name a new folder" in capsys.readouterr().err


def test_a_backup_over_a_file_that_exists_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("backup", str(tmp_path / "b.tar"), "--data", str(data)) == 0
    before = (tmp_path / "b.tar").read_bytes()
    assert run("backup", str(tmp_path / "b.tar"), "--data", str(data)) == 1
    assert "b.tar" in capsys.readouterr().err
    assert (tmp_path / "b.tar").read_bytes() == before


def test_each_tenth_is_printed_once_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    report = backup_restore.percent_steps(lines.append)
    report(1, 2)
    assert lines == []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for done in range(0, 101, 4):
        report(done, 100)
    assert lines == ["  12 %", "  24 %", "  36 %", "  48 %", "  60 %", "  72 %", "  84 %", "  96 %"]

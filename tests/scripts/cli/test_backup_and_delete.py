import io
from pathlib import Path

import pytest

import hoursight
from storage.model.schema import TABLES
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture


@pytest.fixture
def data(house: LakeFixture) -> Path:
    """A data folder with rows of two servers that no writer holds at the moment."""
    for server in ("ppdb001", "ppdb002"):
        house.put("metrics", [{"server": server, "ts": NOW, "mem_used_pct": 61.5}])
    house.commit()
    house.writer.close()
    return house.folders.data


def run(*arguments: str) -> int:
    try:
        hoursight.main(list(arguments))
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


def servers(data: Path) -> list[str]:
    reader = Reader.open(data)
    found: list[str] = reader.query("SELECT server FROM servers ORDER BY 1")["server"].to_pylist()
    reader.close()
    return found


def test_a_backup_and_its_restore_say_what_is_in_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, again = str(tmp_path / "b.tar"), str(tmp_path / "again")
    assert run("backup", archive, "--data", str(data)) == 0
    assert f"6 rows in {len(TABLES)} tables, 0 segments that wait" in capsys.readouterr().out
    assert run("restore", archive, "--data", again) == 0
    assert "each file and table verified" in capsys.readouterr().out
    assert servers(Path(again)) == ["ppdb001", "ppdb002"]


def test_a_restore_over_a_folder_in_use_is_refused_in_words(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("backup", str(tmp_path / "b.tar"), "--data", str(data))
    assert run("restore", str(tmp_path / "b.tar"), "--data", str(data)) == 1
    assert "is not empty: name a new folder" in capsys.readouterr().err


def test_a_server_is_deleted_where_no_writer_runs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("delete", "ppdb001", "--yes", "--data", str(data)) == 0
    assert "1 rows from metrics" in capsys.readouterr().out
    assert servers(data) == ["ppdb002"]


def test_an_unknown_server_is_told_with_those_like_it(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("delete", "ppdb01", "--yes", "--data", str(data)) == 1
    assert "no server 'ppdb01': did you mean ppdb001" in capsys.readouterr().err
    assert len(servers(data)) == 2


def test_nothing_is_deleted_without_a_yes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run("delete", "ppdb001", "--data", str(data)) != 0
    assert len(servers(data)) == 2


def test_schema_shows_metrics_and_retention_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hoursight.toml").write_text(
        '[[metrics]]\nname = "gpu_used_pct"\n[retention]\nruns = "3d"\n'
    )
    run("schema", "metrics_5m", "--data", str(tmp_path))
    assert "gpu_used_pct_count" in capsys.readouterr().out
    run("schema", "--data", str(tmp_path))
    assert "3d" in capsys.readouterr().out

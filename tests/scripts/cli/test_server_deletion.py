import io
from pathlib import Path

import pytest

from scripts.cli import server_deletion
from scripts.cli.server_deletion import NotDeleted, delete_server
from storage.lake.writer import Writer
from storage.model.names import erased_name
from tests.conftest import LakeFixture
from tests.scripts.cli.two_servers import fill, run, servers


@pytest.fixture
def data(house: LakeFixture) -> Path:
    return fill(house)


def test_a_server_is_deleted_where_no_writer_runs(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("delete", "ppdb001", "--yes", "--data", str(data)) == 0
    out = capsys.readouterr().out
    assert "1 rows from metrics" in out
    assert f"the table deletions keeps it as {erased_name('ppdb001')}" in out
    assert servers(data) == ["ppdb002"]


def test_a_deletion_asks_about_and_empties_watched_folders_and_names_what_is_left(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "sources").mkdir(exist_ok=True)
    (data / "sources" / "files.toml").write_text('kind = "files"\n')
    done = data / "drop" / "done"
    done.mkdir(parents=True)
    (done / "a.csv").write_text("ts,server\n1,ppdb001\n2,ppdb0010\n")
    (done / "b.json").write_text('[{"server": "ppdb001"}]')
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("delete", "ppdb001", "--data", str(data)) == 0
    out = capsys.readouterr().out
    assert "rows of ppdb001, and its records in 1 files of watched folders, for good?" in out
    assert f"1 records from {done / 'a.csv'}" in out
    assert f"! {done / 'b.json'} is left and may name ppdb001: it has records over" in out
    assert "logs of the processes where you keep them" in out
    assert (done / "a.csv").read_text() == "ts,server\n2,ppdb0010\n"


def test_an_unknown_server_is_an_error_with_similar_names(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("delete", "ppdb01", "--yes", "--data", str(data)) == 1
    assert "no server 'ppdb01': did you mean ppdb001" in capsys.readouterr().err
    assert len(servers(data)) == 2


def test_nothing_is_deleted_without_confirmation(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run("delete", "ppdb001", "--data", str(data)) != 0
    assert len(servers(data)) == 2


def test_a_writer_that_does_not_answer_is_an_error_with_the_remedy(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_deletion, "WAIT_S", 0.5)
    writer = Writer.open(data)  # it has the lock, and commits nothing
    with pytest.raises(NotDeleted, match="within 0 s: it will when it commits again"):
        delete_server(data, "ppdb001", None, lambda _: None)
    writer.close()
    assert len(servers(data)) == 2

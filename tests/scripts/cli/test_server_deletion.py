import io
from pathlib import Path

import pytest

from scripts.cli import server_deletion
from scripts.cli.server_deletion import NotDeleted, delete_server
from storage.lake.erasure import erased_name
from storage.lake.writer import Writer
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

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.cli import import_outcome as outcomes
from scripts.cli.import_file import import_file
from scripts.cli.import_outcome import ImportOutcome, import_outcome
from storage.config.deleted_servers import record_deleted
from storage.config.sample_settings import DeletionSettings
from storage.config.settings import Settings, write_settings
from storage.lake.writer import Writer
from storage.model.names import erased_name
from tests.conftest import NOW, LakeFixture

ROWS = "timestamp,host,{}\n2026-05-06T12:00:00Z,a,1\n2026-05-06T12:00:05Z,a,2\n"


@pytest.fixture
def running(house: LakeFixture) -> Iterator[LakeFixture]:
    """A lake whose writer commits while the test runs."""
    stop = threading.Event()

    def commit() -> None:
        while not stop.wait(0.05):
            house.commit(datetime.now(UTC))

    thread = threading.Thread(target=commit)
    thread.start()
    yield house
    stop.set()
    thread.join()


def test_an_import_says_what_was_new_completed_and_repeated(
    running: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "WAIT_S", 60)
    said = []
    for metric in ("cpu_user_pct", "mem_used_pct", "mem_used_pct"):
        file = tmp_path / f"{metric}.csv"
        file.write_text(ROWS.format(metric))
        import_file(running.folders.data, file, None, lambda text, **_: said.append(text))
    results = [text for text in said if " read: " in text]
    assert (
        results[:2]
        == ["2 rows read: 2 new or completed, 0 values repeated, 0 rows or values refused."] * 2
    )
    assert results[2].startswith("2 rows read: 0 new or completed, 2 values repeated")


def test_what_the_writer_refused_is_counted_and_named(
    running: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "WAIT_S", 60)
    folders = running.folders
    record_deleted(folders, {erased_name("a"): NOW})
    write_settings(folders.data, Settings(deletions=DeletionSettings("refuse")))
    file, said = tmp_path / "h.csv", []
    file.write_text(ROWS.format("cpu_user_pct") + "2026-05-06T12:00:00Z,b,1\n")
    import_file(folders.data, file, None, lambda text, **_: said.append(text))
    assert said[-1].endswith("1 new or completed, 0 values repeated, 2 rows or values refused.")
    assert said[-2].startswith(f"! {erased_name('a')}: the server was deleted here")


def test_without_a_writer_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    Writer.open(tmp_path).close()
    file = tmp_path / "h.csv"
    file.write_text(ROWS.format("cpu_user_pct"))
    said: list[str] = []
    assert import_file(tmp_path, file, None, lambda text, **_: said.append(text)) == 2
    assert said == ["2 rows in the inbox, for the writer to commit."]


def test_runs_that_wrote_nothing_have_an_outcome_of_zero(house: LakeFixture) -> None:
    assert import_outcome(house.folders, ["no such run"]) == ImportOutcome(0, 0, 0, [])

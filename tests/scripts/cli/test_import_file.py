from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.cli import import_file as module
from scripts.cli.import_file import NotImported, import_file
from storage.inbox import notify
from tests.conftest import LakeFixture
from tests.scripts.cli.histories import waves


def test_the_rows_of_a_file_are_written_once(house: LakeFixture, tmp_path: Path) -> None:
    file = waves(tmp_path / "history.parquet", days=0.5)
    data = house.folders.data
    assert import_file(data, file, None, print) == 2 * 144
    assert import_file(data, file, None, print) == 0
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics WHERE source = 'import'") == 2 * 144


def test_a_file_of_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotImported, match=r"'.*\.xlsx' has an unknown format \(expected a name"):
        import_file(tmp_path, tmp_path / "h.xlsx", None, print)


def test_a_wrong_mapping_names_its_file(tmp_path: Path) -> None:
    file, like = waves(tmp_path / "h.parquet", days=0.1), tmp_path / "shop.toml"
    like.write_text('kind = "files"\n[mapping]\nserver = { feild = "x" }\n')
    with pytest.raises(NotImported, match=r"shop\.toml: .*feild"):
        import_file(tmp_path, file, like, print)


def test_the_import_does_not_wait_for_a_writer_that_does_not_run(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    for n in range(module.MAX_WAITING + 2):
        (house.folders.inbox / f"{n}.parquet").touch()
    module._wait_for_writer(house.folders)
    assert notify.pending_segments(house.folders.data) == module.MAX_WAITING + 2

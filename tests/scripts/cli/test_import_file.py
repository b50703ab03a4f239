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


OLD = "timestamp,hostname,load\n2011-05-06T12:00:00Z,a,1\n2011-05-06T12:05:00Z,a,2\n"


def test_history_older_than_the_age_limit_is_refused_with_the_setting_to_raise(
    house: LakeFixture, tmp_path: Path
) -> None:
    file, said = tmp_path / "old.csv", []
    file.write_text(OLD)
    assert import_file(house.folders.data, file, None, lambda text, **_: said.append(text)) == 0
    [reason] = said
    assert "is older than 10 years, as '2011-05-06T12:00:00Z' of a: " in reason
    assert "raise max_age below [times] in the settings (2 times)" in reason


def test_with_the_age_limit_raised_old_history_is_imported(
    house: LakeFixture, tmp_path: Path
) -> None:
    file = tmp_path / "old.csv"
    file.write_text(OLD)
    (house.folders.data / "hoursight.toml").write_text('[times]\nmax_age = "7300d"\n')
    assert import_file(house.folders.data, file, None, print) == 2
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics") == 2


@pytest.mark.parametrize("pattern", ["", 'format = "%Y-%m-%d %H:%M"\n'])
def test_local_times_are_imported_in_both_passes_of_the_repeated_hour(
    house: LakeFixture, tmp_path: Path, pattern: str
) -> None:
    clock = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    file, like = tmp_path / "h.csv", tmp_path / "berlin.toml"
    rows = [f"2025-10-26,{each},a,{i}\n" for i, each in enumerate(clock)]
    file.write_text("date,time,hostname,load\n" + "".join(rows))
    like.write_text(
        'kind = "files"\n[mapping.time]\ndate = "date"\ntime = "time"\n'
        f'zone = "Europe/Berlin"\n{pattern}'
    )
    assert import_file(house.folders.data, file, like, print) == 6
    house.commit(datetime.now(UTC))
    hours = house.one(
        "SELECT list(strftime(ts AT TIME ZONE 'UTC', '%H:%M') ORDER BY load_average) FROM metrics"
    )
    assert hours == ["23:30", "00:00", "00:30", "01:00", "01:30", "02:00"]

from datetime import UTC, datetime
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest

from scripts.cli import import_file as module
from scripts.cli import import_outcome
from scripts.cli.import_file import NotImported, import_file
from scripts.cli.import_mapping import ImportOptions, UnknownMapping
from storage.inbox import notify
from tests.conftest import LakeFixture
from tests.scripts.cli.histories import waves


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer of the fixture `house` commits on demand only."""
    monkeypatch.setattr(import_outcome, "WAIT_S", 0)


def test_the_rows_of_a_file_are_stored_once_however_often_it_is_imported(
    house: LakeFixture, tmp_path: Path
) -> None:
    file = waves(tmp_path / "history.parquet", days=0.5)
    data = house.folders.data
    assert import_file(data, file, None, click.echo) == 2 * 144
    assert import_file(data, file, None, click.echo) == 2 * 144
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics WHERE source = 'import'") == 2 * 144
    assert house.one("SELECT sum(values_repeated) FROM segments") == 2 * 144


def test_a_file_of_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotImported, match=r"'.*\.xlsx' has an unknown format \(expected a name"):
        import_file(tmp_path, tmp_path / "h.xlsx", None, print)


def test_a_wrong_mapping_names_its_file(tmp_path: Path) -> None:
    file, like = waves(tmp_path / "h.parquet", days=0.1), tmp_path / "shop.toml"
    like.write_text('kind = "files"\n[mapping]\nserver = { feild = "x" }\n')
    with pytest.raises(NotImported, match=r"shop\.toml: .*feild"):
        import_file(tmp_path, file, like, print)


def test_what_was_refused_is_read_again_once_the_mapping_is_corrected(
    house: LakeFixture, tmp_path: Path
) -> None:
    file, like = tmp_path / "h.csv", tmp_path / "shop.toml"
    file.write_text("timestamp,box,cpu_user_pct\n2026-05-06T12:00:00Z,web1,7\n")
    for _ in range(2):
        with pytest.raises(NotImported, match=r"no row of .*h\.csv' was taken; 1 rows or values"):
            import_file(house.folders.data, file, None, click.echo)
    like.write_text('kind = "files"\n[mapping]\nserver = { field = "box" }\n')
    assert import_file(house.folders.data, file, like, print) == 1


def test_a_deleted_server_comes_back_when_its_file_is_imported_again(
    house: LakeFixture, tmp_path: Path
) -> None:
    file = waves(tmp_path / "history.parquet", days=0.1, servers=1)
    rows = import_file(house.folders.data, file, None, click.echo)
    house.commit(datetime.now(UTC))
    server = house.one("SELECT any_value(server) FROM metrics")
    house.put("deletions", [{"server": server, "ts": datetime.now(UTC)}])
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics") == 0
    assert import_file(house.folders.data, file, None, click.echo) == rows
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics") == rows


def test_counters_that_are_imported_again_have_their_rates(
    house: LakeFixture, tmp_path: Path
) -> None:
    file, like = tmp_path / "h.csv", tmp_path / "shop.toml"
    lines = [f"2026-05-06T12:0{i}:00Z,web1,{i * 60_000_000}" for i in range(3)]
    file.write_text("\n".join(["timestamp,server,rx", *lines]) + "\n")
    like.write_text(
        'kind = "files"\n[mapping.metrics]\n'
        'net_in_mb_s = { field = "rx", unit = "bytes", counter = true }\n'
    )
    for _ in range(2):
        import_file(house.folders.data, file, like, click.echo)
        newest = max(house.folders.inbox.glob("*-import-metrics-*"))
        assert pq.read_table(newest)["net_in_mb_s"].to_pylist() == [1.0, 1.0]


def test_a_file_without_a_record_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("timestamp,server,cpu_user_pct\n")
    with pytest.raises(NotImported, match="has no record"):
        import_file(tmp_path, tmp_path / "h.csv", None, print)


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
    with pytest.raises(NotImported, match="no row of"):
        import_file(house.folders.data, file, None, lambda text, **_: said.append(text))
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


NETDATA = "time,user,system,iowait\n2026-05-06 12:00:00,12.5,3,1\n"


def test_a_stock_mapping_is_used_by_its_name_with_what_the_file_does_not_say(
    house: LakeFixture, tmp_path: Path
) -> None:
    file, data = tmp_path / "cpu.csv", house.folders.data
    file.write_text(NETDATA)
    stated = ImportOptions(server="web01", time_zone="Europe/Berlin")
    assert import_file(data, file, "netdata", print, stated) == 1
    house.commit(datetime.now(UTC))
    stored = "SELECT concat(server, ' ', hour(ts AT TIME ZONE 'UTC'), ' ', cpu_user_pct)"
    assert house.one(f"{stored} FROM metrics") == "web01 10 12.5"


def test_a_file_of_a_known_program_names_the_stock_mapping_that_reads_it(
    house: LakeFixture, tmp_path: Path
) -> None:
    file, said = tmp_path / "cpu.csv", []
    file.write_text(NETDATA)
    with pytest.raises(NotImported):
        import_file(house.folders.data, file, None, lambda text, **_: said.append(text))
    assert any("import with --like netdata" in line for line in said)


def test_a_name_that_is_neither_lists_those_that_there_are(tmp_path: Path) -> None:
    file = waves(tmp_path / "h.parquet", days=0.1)
    with pytest.raises(
        UnknownMapping, match=r"--like is 'sard' .expected a source file, or one of"
    ):
        import_file(tmp_path, file, "sard", print)


def test_a_server_that_the_file_does_not_name_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "cpu.csv"
    file.write_text(NETDATA)
    with pytest.raises(NotImported, match=r"netdata: mapping.server is missing.*--server NAME"):
        import_file(tmp_path, file, "netdata", print)

"""`hoursight sources` and `hoursight import` as a user types them."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import hoursight
from functions.connectors import incremental_read
from scripts.cli import import_outcome
from tests.conftest import NOW, LakeFixture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer of the fixture `house` commits on demand only."""
    monkeypatch.setattr(import_outcome, "WAIT_S", 0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], house: LakeFixture) -> Run:
    """Runs the command on the house's folder; gives exit code, output and errors."""

    def call(group: str, *arguments: str | Path) -> tuple[int, str, str]:
        code, data = 0, str(house.folders.data)
        try:
            hoursight.main([group, "--data", data, *map(str, arguments)])
        except SystemExit as leave:
            code = int(leave.code or 0)
        return code, *capsys.readouterr()

    return call


def history(path: Path, rows: int, server: str = "hostname") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", server, "cpu_user_pct", "disk_usage_pct", "load1"])
        for i in range(rows):
            ts = (NOW - timedelta(hours=2) + timedelta(seconds=i)).isoformat()
            writer.writerow([ts, "web1", i % 90, "67% /data", "n/a" if i == 3 else 0])
    return path


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_a_new_source_is_printed_and_an_unknown_kind_lists_the_known(run: Run) -> None:
    assert 'kind = "files"' in run("sources", "new", "files")[1]
    code, _, err = run("sources", "new", "oracle")
    assert code == 1
    assert "no template for 'oracle': there are" in err


def test_a_test_shows_field_metric_and_value_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    history(tmp_path / "in" / "a.csv", 10)
    file = tmp_path / "shop.toml"
    file.write_text(f'kind = "files"\n[connection]\nfolder = "{tmp_path / "in"}"\nsettle = "1ms"\n')
    before = files_of(tmp_path)
    code, out, _ = run("sources", "test", file, "--once", "--verbose")
    assert code == 0
    assert "10 documents, 10 rows, 1 refused" in out
    assert "1 servers, from 2026-05-06 10:00:30Z to 2026-05-06 10:00:39Z; 3 of 14 metrics" in out
    result = {line.split()[0]: " ".join(line.split()) for line in out.splitlines() if line.strip()}
    assert result["disk_usage_pct"] == "disk_usage_pct disk_usage_pct 67% /data percent 67 %"
    assert result["cpu_user_pct"] == "cpu_user_pct cpu_user_pct 0 percent 0 %"
    assert result["swap_used_pct"] == "swap_used_pct not found: swap_used_pct"
    assert "load_average (field load1): is not a number, as 'n/a' of web1: send a number" in out
    assert files_of(tmp_path) == before
    assert not list((tmp_path / "in").glob("*/"))


def test_a_page_of_notes_alone_is_not_the_page_that_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").write_text("not Parquet")
    history(tmp_path / "in" / "b.csv", 5)
    (tmp_path / "in" / "c.csv").symlink_to(history(tmp_path / "elsewhere.csv", 5))
    file = tmp_path / "shop.toml"
    file.write_text(f'kind = "files"\n[connection]\nfolder = "{tmp_path / "in"}"\nsettle = "1ms"\n')
    code, out, _ = run("sources", "test", file)
    assert code == 0
    assert "! a.parquet" in out
    assert "! c.csv is a symbolic link, which is not followed: put the file itself there" in out
    assert "5 documents, 5 rows" in out


def test_units_that_look_wrong_are_asked_about_and_unclear_names_are_named(
    run: Run, house: LakeFixture, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    text = f"ts,host,mem,uptime\n{NOW.isoformat()},a,0.45,864000\n"
    file, like = tmp_path / "in" / "h.csv", tmp_path / "shop.toml"
    file.write_text(text)
    like.write_text(
        f'kind = "files"\n[connection]\nfolder = "{file.parent}"\nsettle = "1ms"\n'
        '[mapping.metrics]\nmem_used_pct = { field = "mem" }\n'
    )
    tested, imported = run("sources", "test", like), run("import", file, "--like", like)
    assert tested[0] == imported[0] == 0
    for said in (tested[1], imported[2]):
        assert "the value of mem is in 0–1: is the unit a fraction? Stored as percent" in said
        assert "not mapped: the name 'uptime' does not say its unit" in said
        assert 'add [mapping.metrics] uptime_days = { field = "uptime", unit = "s" }' in said
    house.commit(datetime.now(UTC))
    stored = house.one("SELECT max(mem_used_pct) FROM metrics")
    assert stored == pytest.approx(0.45, abs=1 / 128)  # as it came


def test_a_source_that_cannot_be_tested_says_why(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('kind = "files"\n[connection]\nfoldr = "x"\n')
    code, _, err = run("sources", "test", file)
    assert code == 1
    assert "connection.foldr is not a key (expected one of delimiter, encoding, folder, " in err


def test_the_list_tells_what_each_source_brought(run: Run, house: LakeFixture) -> None:
    assert "No source has brought anything yet" in run("sources")[1]
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1}])
    house.commit()
    assert "2026-05-06 12:00:30Z" in run("sources", "list")[1]


def test_history_is_imported_once_also_when_it_is_cut_off(
    run: Run, house: LakeFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.normalize.file_readers.CHUNK_ROWS", 100)
    monkeypatch.setattr(incremental_read, "MAX_DOCUMENTS", 200)
    file = history(tmp_path / "h.csv", 1000)
    calls, take = [], incremental_read.IncrementalRead.run

    def cut_off(self, now, cursor):
        calls.append(cursor)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return take(self, now, cursor)

    with monkeypatch.context() as patch:
        patch.setattr(incremental_read.IncrementalRead, "run", cut_off)
        assert run("import", file)[0] == 130
    code, out, err = run("import", file)
    assert (code, out) == (0, "600 rows in the inbox, for the writer to commit.\n")
    assert "refused" not in err
    assert "that was cut off was continued" in err
    code, out, err = run("import", file)
    assert (code, out) == (0, "1,000 rows in the inbox, for the writer to commit.\n")
    assert "was imported before" in err
    house.commit(datetime.now(UTC))
    assert house.one("SELECT count(*) FROM metrics WHERE source = 'import'") == 1000
    assert house.one("SELECT sum(rows_refused) FROM segments WHERE function = 'import'") == 2


def test_an_import_may_use_the_mapping_of_a_source(
    run: Run, house: LakeFixture, tmp_path: Path
) -> None:
    like = tmp_path / "shop.toml"
    like.write_text('kind = "files"\nsite = "fra"\n[mapping]\nserver = { field = "box" }\n')
    file = history(tmp_path / "h.csv", 5, server="box")
    code, _, err = run("import", file)
    assert "time (field" not in err
    assert "server (field server_name or hostname or host or server): missing" in err
    assert "no row of" in err
    assert code == 1
    out = run("import", file, "--like", like)[1]
    assert out == "5 rows in the inbox, for the writer to commit.\n"
    house.commit(datetime.now(UTC))
    assert house.one("SELECT site FROM servers WHERE server = 'web1'") == "fra"


SADF = """\
h1;-1;2026-05-06 11:00:00 UTC;LINUX-RESTART\t(2 CPU)
# hostname;interval;timestamp;CPU;%user;%nice;%system;%iowait;%steal;%idle
h1;60;2026-05-06 11:01:00 UTC;-1;45.25;41.25;10.00;1.50;0.00;2.00
h1;60;2026-05-06 11:01:00 UTC;0;99.00;0.00;1.00;0.00;0.00
"""


def test_a_test_of_an_export_shows_what_is_left_out_and_the_mapping_that_reads_it(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(SADF)
    file = tmp_path / "shop.toml"
    text = f'kind = "files"\n[connection]\nfolder = "{tmp_path / "in"}"\nsettle = "1ms"\n'
    file.write_text(text)
    code, out, _ = run("sources", "test", file)
    assert code == 1
    assert "stock = 'sadf'" in out
    file.write_text(text + '[mapping]\nstock = "sadf"\n')
    code, out, _ = run("sources", "test", file, "--all")
    assert code == 0
    assert "2 records left out, such as line 1 comes before the header" in out
    assert "cpu_user_pct" in out
    assert "86.5" in out

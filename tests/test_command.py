import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hoursight
from scripts.cli import cli
from storage.config.api_keys import ApiKeys
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import TABLES
from storage.model.views import VIEWS
from tests.conftest import NOW, LakeFixture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs the command; gives exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            hoursight.main([str(a) for a in arguments])
        except SystemExit as leave:
            code = int(leave.code or 0)
        out, err = capsysbinary.readouterr()
        return code, out.decode(errors="replace"), err.decode()

    return call


@pytest.fixture
def filled(house: LakeFixture) -> LakeFixture:
    house.put("metrics", [{"server": "ppdb001", "ts": NOW, "mem_used_pct": 61.5}])
    house.commit()
    return house


QUERY = "SELECT server, ts, mem_used_pct, swap_used_pct FROM metrics"


def test_sql_prints_a_table_with_times_in_utc(run: Run, filled: LakeFixture) -> None:
    code, out, _ = run("sql", "--data", str(filled.folders.data), QUERY)
    assert code == 0
    assert out.splitlines()[1].split() == ["ppdb001", "2026-05-06", "12:00:30Z", "61.5"]
    assert out.splitlines()[2] == "1 row"


def test_sql_prints_csv_and_json_with_missing_as_nothing(run: Run, filled: LakeFixture) -> None:
    data = str(filled.folders.data)
    _, csv, _ = run("sql", "--data", data, "--format", "csv", QUERY)
    assert csv.splitlines()[1].endswith(",61.5,")
    _, text, _ = run("sql", "--data", data, "--format", "json", QUERY)
    assert json.loads(text)["swap_used_pct"] is None


def test_sql_prints_parquet_that_others_read(
    filled: LakeFixture, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    hoursight.main(["sql", "--data", str(filled.folders.data), "--format", "parquet", QUERY])
    rows = pq.read_table(pa.BufferReader(capsysbinary.readouterr().out))
    assert rows["server"].to_pylist() == ["ppdb001"]


@pytest.mark.parametrize(
    ("statement", "says"),
    [("SELECT nope FROM metrics", "nope"), ("DROP TABLE metrics", "read-only")],
)
def test_sql_that_cannot_run_prints_the_error_of_the_engine(
    run: Run, filled: LakeFixture, statement: str, says: str
) -> None:
    code, _, err = run("sql", "--data", str(filled.folders.data), statement)
    assert code == 1
    assert says in err
    assert "Traceback" not in err


def test_sql_that_is_more_than_a_read_needs_a_flag(
    run: Run, filled: LakeFixture, tmp_path: Path
) -> None:
    target, data = tmp_path / "out.csv", str(filled.folders.data)
    statement = f"COPY metrics TO '{target}'"
    code, _, err = run("sql", "--data", data, statement)
    assert (code, target.exists()) == (1, False)
    assert "COPY statement refused, SQL is read-only here" in err
    assert "hoursight sql --unrestricted" in err
    assert run("sql", "--data", data, "--unrestricted", statement)[0] == 0
    assert "ppdb001" in target.read_text()


def test_a_folder_without_a_lake_is_an_error_with_the_remedy(run: Run, tmp_path: Path) -> None:
    code, _, err = run("sql", "--data", str(tmp_path), "SELECT 1")
    assert code == 1
    assert "start one with 'hoursight demo'" in err


def test_schema_lists_tables_and_their_columns(run: Run) -> None:
    reported = run("schema")[1]
    names = [*(table.name for table in TABLES), *(view.name for view in VIEWS)]
    assert all(f"\n{name} " in reported for name in names)
    columns = run("schema", "metrics")[1]
    assert all(name in columns for name in METRIC_NAMES)
    assert "newest sample of the last hour" in run("schema", "fleet_now")[1]
    assert (
        "timed out, out of memory, unreachable, not written, resumed, revived"
        in run("schema", "runs")[1]
    )
    assert "expected one of alert_events, audit, breaches" in run("schema", "nope")[2]


def test_calling_the_host_shows_its_fourteen_metrics_with_units(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("call", "host", "--once", "--verbose", "--data", str(tmp_path))
    assert code == 0
    assert all(name in out for name in METRIC_NAMES)
    assert len(list(Folders.at(tmp_path).inbox.glob("*.parquet"))) >= 2


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    assert run("call", "host", "--dry-run", "--data", str(tmp_path))[0] == 0
    assert list(Folders.at(tmp_path).inbox.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["call", "nope"], "no function 'nope'; there are alert, "),
        (["scenario", "nope"], "'nope' is not a scenario (expected healthy"),
        (["demo", "--scenario", "nope"], "expected healthy"),
        (["demo", "--port", "99999"], "99999 is not in the range"),
    ],
)
def test_an_unknown_value_is_an_error_that_lists_the_valid_ones(
    run: Run, tmp_path: Path, arguments: list[str], says: str
) -> None:
    code, _, err = run(*arguments, "--data", str(tmp_path))
    assert code != 0
    assert says in err


def test_a_wrong_setting_is_an_error_with_file_and_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[web]\nport = 'eighty'\n")
    code, _, err = run("up", "--data", str(tmp_path))
    assert code == 1
    assert "hoursight.toml" in err
    assert "web.port" in err


def test_keys_are_made_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    code, token, note = run("keys", "create", "--scope", "feed", "--name", "telegraf", *data)
    assert (code, token[:3]) == (0, "hs_")
    assert "shown only this once" in note
    assert ApiKeys(Folders.at(tmp_path)).find(token.strip()).name == "telegraf"
    assert run("keys", "list", *data)[1].split()[:2] == ["telegraf", "feed"]
    assert "is revoked" in run("keys", "revoke", "telegraf", *data)[1]
    assert run("keys", "list", *data)[1] == ""
    assert "existing keys: none" in run("keys", "revoke", "telegraf", *data)[2]


def test_a_public_address_without_a_key_is_not_started(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[web]\nhost = '192.0.2.1'\n")
    code, _, err = run("up", "--data", str(tmp_path))
    assert code == 1
    assert "keys create --scope admin" in err


def test_the_doctor_finds_a_truncated_model_and_names_the_remedy(
    run: Run, filled: LakeFixture
) -> None:
    broken = filled.folders.models / "serving.onnx"
    broken.write_bytes(b"\x08\x07 torn")
    code, out, _ = run("doctor", "--data", str(filled.folders.data))
    assert code == 1
    line = next(line for line in out.splitlines() if "model:" in line)
    assert line.startswith("BAD")
    assert str(broken) in line
    assert "remove that file to go back to the shipped one" in out


def test_the_doctor_lists_what_is_well(run: Run, filled: LakeFixture) -> None:
    out = run("doctor", "--data", str(filled.folders.data))[1]
    assert "ok   model:" in out
    assert "ok   lake: readable" in out


def test_functions_are_listed_with_their_triggers(run: Run, tmp_path: Path) -> None:
    out = run("functions", "--data", str(tmp_path))[1]
    assert "rows in metrics_5m" in out
    assert "not yet" in out


@pytest.mark.parametrize(
    "command",
    [
        ["sql", QUERY],
        ["schema"],
        ["functions", "list"],
        ["models"],
        ["functions"],
        ["keys", "list"],
    ],
)
def test_the_data_folder_may_be_named_before_or_after_each_command(
    run: Run, filled: LakeFixture, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    data = str(filled.folders.data)
    after = run(*command, "--data", data)
    assert after[0] == 0
    assert run("--data", data, *command) == after
    assert run("--data", "nowhere", *command, "--data", data) == after
    monkeypatch.setenv("HOURSIGHT_DATA", data)
    assert run(*command) == after


def test_every_command_takes_a_data_folder(run: Run) -> None:
    def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        subcommands = command.commands if isinstance(command, click.Group) else {}
        for name, each in subcommands.items():
            yield from leaves(each, (*path, name))
        if not subcommands:
            yield path

    for path in leaves(cli, ()):
        assert "--data DIRECTORY" in run(*path, "--help")[1], path


def test_notebooks_get_arrow(filled: LakeFixture) -> None:
    with hoursight.connect(filled.folders.data) as lake:
        rows = lake.sql("SELECT mem_used_pct AS m FROM metrics WHERE server = $s", s="ppdb001")
    assert rows["m"].to_pylist() == [61.5]

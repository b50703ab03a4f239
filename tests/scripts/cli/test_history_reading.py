from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.cli import cli
from scripts.cli.history_reading import read_history
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import HistoryError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sample whose time is in milliseconds."""
    path = tmp_path / "h.csv"
    path.write_text(f"ts,server,load_average\n{NOON.timestamp() * 1000:.0f},shop-1,1\n")
    return path


def test_the_options_say_what_the_times_are(tmp_path: Path, file: Path) -> None:
    history = read_history(tmp_path, [file], "epoch_ms", None).history
    assert history.span[0] == NOON


def test_the_patterns_of_the_data_folder_tell_the_profiles(tmp_path: Path, file: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[profiles.patterns]\nweb_api = ['shop-*']\n")
    history = read_history(tmp_path, [file], "epoch_ms", None).history
    assert PROFILE_NAMES[history.profiles[0]] == "web_api"


def test_the_limits_of_the_data_folder_decide_what_can_be_true(tmp_path: Path, file: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[limits]\nload_average = 0.5\n")
    loaded = read_history(tmp_path, [file], "epoch_ms", None)
    assert loaded.refused == 1
    assert "1 load lies outside 0–0.5" in loaded.reasons[0]


@pytest.mark.parametrize(
    ("time_format", "time_zone", "says"),
    [
        ("seconds", None, "--time-format: time.format is 'seconds': write iso, epoch_s"),
        ("iso", "Mars/North", "--time-zone: time.zone is 'Mars/North': write a name"),
    ],
)
def test_a_wrong_option_is_named(
    tmp_path: Path, file: Path, time_format: str, time_zone: str | None, says: str
) -> None:
    with pytest.raises(HistoryError) as error:
        read_history(tmp_path, [file], time_format, time_zone)
    assert says in str(error.value)


def test_backtest_refuses_a_number_without_a_unit_and_names_the_option(
    tmp_path: Path, file: Path
) -> None:
    result = CliRunner().invoke(cli, ["backtest", str(file), "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "a number whose unit is not stated" in result.stderr
    assert "--time-format epoch_s, epoch_ms" in result.stderr


def test_backtest_goes_on_with_the_unit_named(tmp_path: Path, file: Path) -> None:
    result = CliRunner().invoke(
        cli, ["backtest", str(file), "--data", str(tmp_path), "--time-format", "epoch_ms"]
    )
    assert "a backtest needs 32 h" in result.stderr

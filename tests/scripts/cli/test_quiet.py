"""`hoursight quiet`: what it prints, and its exit codes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from scripts.cli.quiet import NOW, UNKNOWN, WAIT, quiet
from storage.model.grid import HORIZON_STEPS, floor_step
from tests.functions.module_lakes import house_at
from tests.functions.test_quiet_hour import fill


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake as of now, in which `calm-later` is quiet for the last of the 8 hours only."""
    falling = np.where(np.arange(HORIZON_STEPS) < HORIZON_STEPS - 12, 12.0, 3.0)
    with house_at(tmp_path_factory.mktemp("quiet")) as house:
        fill(house, falling, floor_step(datetime.now(UTC)))
        yield house.folders.data


@pytest.mark.parametrize(
    ("server", "lasts", "code", "text"),
    [
        ("steady", "20m", NOW, "Now is as good as any time within 8 h"),
        ("calm-later", "20m", WAIT, "Wait until "),
        ("gone", "20m", UNKNOWN, "Not known: gone has no forecast of the last hour."),
    ],
)
def test_the_exit_code_says_whether_to_wait(
    data: Path, capsys: pytest.CaptureFixture[str], server: str, lasts: str, code: int, text: str
) -> None:
    assert quiet(data, server, lasts, "8h", as_json=False) == code
    assert capsys.readouterr().out.startswith(text)


def test_as_json_it_has_the_times_and_the_odds(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quiet(data, "calm-later", "20m", "8h", as_json=True) == WAIT
    answer = json.loads(capsys.readouterr().out)
    assert (answer["server"], answer["wait"]) == ("calm-later", True)
    assert set(answer["best"]) == {"use", "low", "high", "breach"}
    assert answer["starts_at"] < answer["ends_at"]


def test_what_is_not_valid_is_not_known_and_said(
    data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert quiet(data, "steady", "5 apples", "8h", as_json=False) == UNKNOWN
    assert "'5 apples' is not a valid period" in capsys.readouterr().err
    assert quiet(tmp_path / "none", "steady", "20m", "8h", as_json=False) == UNKNOWN
    assert capsys.readouterr().err.startswith("hoursight: ")

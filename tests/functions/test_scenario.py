"""The function `scenario`: the switch of the simulated fleet, and what is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.engine.window import Window
from functions.scenario import scenario
from storage.config.folders import Folders
from storage.query.memory_lake import MemoryLake
from tests.conftest import NOW

ON = "[sources.simulator]\nenabled = true\n"


@pytest.fixture
def window(tmp_path: Any) -> Iterator[Window]:
    lake = MemoryLake(Folders.at(tmp_path).create())
    yield Window(lake.reader, NOW)
    lake.close()


def test_a_switch_is_a_row_from_now_on(window: Window) -> None:
    window.reader.folders.settings.write_text(ON)
    batch = scenario.call(window=window, body={"scenario": "cascade"})
    assert batch.rows["scenarios"].to_pylist() == [{"ts": NOW, "scenario": "cascade"}]


@pytest.mark.parametrize(
    ("settings", "body", "said"),
    [
        ("", {"scenario": "cascade"}, "the simulator is off: set sources.simulator.enabled"),
        (ON, {"scenario": "<b>"}, "scenario is '<b>', expected one of healthy, mixed"),
        (ON, None, "scenario is missing"),
        (ON, ["cascade"], "xpected"),
    ],
)
def test_what_cannot_play_is_refused_in_words(
    window: Window, settings: str, body: Any, said: str
) -> None:
    window.reader.folders.settings.write_text(settings)
    batch = scenario.call(window=window, body=body)
    assert (batch.refused, batch.rows) == (1, {})
    assert said in batch.reasons[0]

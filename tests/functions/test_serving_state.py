"""The newest calibration and race of a model are read as of a time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from functions.engine.window import Window
from functions.rules.serving.calibration import SHAPE
from functions.rules.serving.state_rows import (
    NamedCalibration,
    NamedRace,
    calibration_rows,
    race_rows,
)
from functions.serving_state import profiles_of, read_calibration, read_race
from tests.conftest import NOW
from tests.functions.module_lakes import house_at

HOUR = timedelta(hours=1)
END = NOW.replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A lake with states of two models, one of which served 5 days ago."""
    with house_at(tmp_path_factory.mktemp("state")) as house:
        for model, hours, updates in (("m", 2, 8), ("m", 1, 12), ("old", 120, 400)):
            new = NamedCalibration.new()
            state = replace(new.state, updates=np.full(SHAPE[:2], updates))
            rows = calibration_rows(replace(new, state=state), model, END - hours * HOUR)
            house.put("calibration", rows)
        for servers, hours in ((("a", "b"), 2), (("a",), 1)):
            race = NamedRace.new(servers)
            race.state.hours[:] = 10 - hours
            house.put("race", race_rows(race, "m", END - hours * HOUR))
        house.put("server_facts", [{"server": "a", "ts": NOW, "profile": "database"}])
        house.commit(NOW)
        yield Window(house.reader, NOW)


@pytest.mark.parametrize(
    ("model", "hours", "updates", "age"), [("m", 0, 12, 1), ("m", 1.5, 8, 2), ("old", 0, 400, 120)]
)
def test_the_newest_calibration_is_read_however_old_it_is(
    window: Window, model: str, hours: float, updates: int, age: int
) -> None:
    named, until = read_calibration(window, model, END - hours * HOUR)
    assert (named.state.updates.max(), until) == (updates, END - age * HOUR)


def test_a_model_that_was_never_scored_has_a_new_state(window: Window) -> None:
    named, until = read_calibration(window, "new", END)
    assert (named.state.updates.max(), until) == (0, None)


def test_the_race_is_the_newest_of_each_server(window: Window) -> None:
    race = read_race(window, "m", END, ("a", "b", "c"))
    assert race.state.hours[:, 0, 0, 0].tolist() == [9, 8, 0]
    assert read_race(window, "m", END, ()).servers == ()


def test_a_server_without_facts_has_the_generic_profile(window: Window) -> None:
    assert profiles_of(window, ("a", "unknown")) == ["database", "generic"]

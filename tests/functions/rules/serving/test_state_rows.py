"""States of calibration and race survive their way through the tables."""

from datetime import UTC, datetime

import numpy as np
import pytest

from functions.rules.serving.calibration import SHAPE, CalibrationState
from functions.rules.serving.race import RaceState
from functions.rules.serving.state_rows import (
    IDLE_HOURS,
    NamedCalibration,
    NamedRace,
    as_lists,
    calibration_rows,
    calibration_state,
    places,
    race_rows,
    race_state,
)
from storage.model.grid import BUCKET_MINUTES
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table

HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)
RNG = np.random.default_rng(8)


@pytest.fixture
def calibration() -> NamedCalibration:
    state = CalibrationState(
        RNG.normal(size=SHAPE), RNG.normal(size=(2, *SHAPE)), RNG.normal(size=(3, *SHAPE)),
        RNG.integers(0, 500, SHAPE[:2]), RNG.integers(-1, 90, SHAPE[:2]),
    )  # fmt: skip
    return NamedCalibration(
        ("db", "web"), ("a", "b", "c"), state, np.array([0, 3]), np.array([0, 5, 2])
    )


@pytest.fixture
def race() -> NamedRace:
    new = NamedRace.new(("a", "b"))
    shape = new.state.hours.shape
    state = RaceState(*(RNG.gamma(1, 1, shape).astype(np.float32) for _ in range(4)))
    new.skill[:] = 0.5
    new.abstains[1, 2] = "no skill: the losses are 1.1 times those of a naive forecast"
    new.seasonal_band[:, ::2] = 1
    new.last_band[:] = 2
    new.last_band[0, 0] = np.nan
    return NamedRace(new.servers, state, new.shares, new.seasonal_band, new.last_band, new.skill,
                     new.abstains, np.array([0, 7]))  # fmt: skip


def test_a_calibration_is_read_as_it_was_written(calibration: NamedCalibration) -> None:
    rows = calibration_rows(calibration, "m1", HOUR)
    assert rows.schema == table("calibration").arrow
    again = calibration_state(rows)
    assert (again.profiles, again.servers) == (calibration.profiles, calibration.servers)
    for name in CalibrationState.__slots__:
        expected = getattr(calibration.state, name)
        np.testing.assert_allclose(getattr(again.state, name), expected, rtol=1e-6)
    np.testing.assert_array_equal(again.server_idle, calibration.server_idle)
    np.testing.assert_array_equal(again.profile_idle, calibration.profile_idle)


def test_without_rows_a_calibration_is_new() -> None:
    assert calibration_state(table("calibration").arrow.empty_table()).servers == ()


def test_a_server_without_targets_for_a_week_is_left_out(calibration: NamedCalibration) -> None:
    calibration.server_idle[1] = IDLE_HOURS
    assert calibration_state(calibration_rows(calibration, "m1", HOUR)).servers == ("a", "c")


def test_a_new_server_and_profile_start_without_an_offset(calibration: NamedCalibration) -> None:
    state = calibration.of(("db", "new"), ("new", "c")).state
    assert not state.profiles[1].any()
    assert not state.servers[0].any()
    np.testing.assert_array_equal(state.servers[1], calibration.state.servers[2])


def test_a_race_is_read_as_it_was_written(race: NamedRace) -> None:
    rows = race_rows(race, "m1", HOUR)
    assert rows.schema == table("race").arrow
    assert len(rows) == 2 * len(METRIC_NAMES) * len(BUCKET_MINUTES)
    again = race_state(rows)
    for name in RaceState.__slots__:
        np.testing.assert_allclose(getattr(again.state, name), getattr(race.state, name))
    for name in ("shares", "seasonal_band", "last_band", "skill", "idle"):
        np.testing.assert_array_equal(getattr(again, name), getattr(race, name))
    assert (again.abstains == race.abstains).all()


def test_metrics_without_evidence_have_no_row_in_the_race() -> None:
    assert race_rows(NamedRace.new(("a",)), "m1", HOUR).num_rows == 0
    assert race_state(table("race").arrow.empty_table()).servers == ()


def test_servers_join_and_leave_a_race(race: NamedRace) -> None:
    other = race.of(("b", "new"))
    np.testing.assert_array_equal(other.state.loss[0], race.state.loss[1])
    assert other.abstains[0, 2]
    assert not other.state.hours[1].any()
    assert (other.shares[1, ..., 0] == 1).all()


def test_places_say_where_a_name_is_not_known() -> None:
    assert places(("a", "b"), ("b", "z")).tolist() == [1, -1]


def test_a_list_with_a_missing_value_is_null() -> None:
    values = np.array([[1, 2], [np.nan, 2]])
    assert as_lists(values).to_pylist() == [[1, 2], None]

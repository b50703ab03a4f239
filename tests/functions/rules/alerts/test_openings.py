from typing import Any

import pytest

from functions.rules.alerts.episode import Phase
from functions.rules.alerts.rule import ServerFacts
from tests.functions.rules.alerts.scenes import (
    MEMORY,
    T0,
    Timeline,
    breached,
    calm,
    mark,
    minutes,
    predicted,
)


def test_a_warning_is_an_episode_with_odds_and_when_it_would_close() -> None:
    opened = predicted().last
    assert (opened["phase"], opened["severity"], opened["channels"]) == (
        "predicted", "Warning", "team",
    )  # fmt: skip
    assert (opened["group_key"], opened["threshold"]) == (f"fra, web_api, {MEMORY}", 98.0)
    assert "34 % within 1 h" in opened["why"]
    assert (
        "closes after 30 min with odds under 10 % within 1 h and 15 % within 2 h" in opened["why"]
    )


def test_a_breach_that_nothing_foretold_opens_as_one() -> None:
    line = Timeline()
    assert line.step(T0, breached(T0, T0 - minutes(15))) == ["opened"]
    assert (line.last["phase"], line.last["severity"]) == ("breached", "Critical")


def test_a_breach_opens_even_in_quiet_time_and_is_marked_as_again() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    line.step(T0 + minutes(40), calm(T0 + minutes(40)))
    later = T0 + minutes(70)
    assert line.step(later, breached(later, later - minutes(15))) == ["opened"]
    assert '"again":true' in line.last["state"]
    assert line.last["why"].startswith("again, 30 min after the last episode ended")


def silent(age: float, **more: Any) -> tuple[Timeline, list[str]]:
    line = Timeline(**more)
    events = line.step(T0, last_seen={"a": T0 - minutes(age)}, beliefs={"a": ["last scored 40"]})
    return line, events


def test_a_silent_server_has_an_episode_with_the_last_belief_in_it() -> None:
    line, events = silent(16)
    assert (events, line.last["phase"], line.last["metric"]) == (["opened"], "no data", None)
    assert line.last["reasons"] == ["last scored 40"]
    assert "no data since 2026-05-06 11:44 UTC" in line.last["why"]


@pytest.mark.parametrize("age", [14, 25 * 60])
def test_a_server_that_just_spoke_or_left_long_ago_has_none(age: float) -> None:
    assert silent(age)[1] == []


def test_a_warning_of_a_server_that_fell_silent_stays_open_beside_it() -> None:
    line = predicted()
    now = T0 + minutes(30)
    assert line.step(now, last_seen={"a": T0}) == ["opened"]
    assert {e.phase for e in line.episodes()} == {Phase.PREDICTED, Phase.NO_DATA}
    assert line.last["reasons"] == ["Memory used stays predicted"]


def test_a_whole_fleet_that_is_silent_points_at_its_source() -> None:
    line = Timeline(servers=[ServerFacts(name) for name in "abcd"])
    seen = {name: T0 - minutes(20) for name in "abc"} | {"d": T0}
    line.step(T0, last_seen=seen)
    assert "3 of 4 servers are silent: check their source" in line.last["why"]
    assert [row["channels"] for row in line.rows] == ["team", None, None]
    assert "told with that of a: would have been sent to team" in line.last["why"]
    assert line.step(T0 + minutes(1), last_seen=seen) == []


def test_after_a_start_the_sources_have_time_to_catch_up() -> None:
    line, seen = Timeline(), {"a": T0 - minutes(300)}
    assert line.step(T0, last_seen=seen, collecting_since=T0 - minutes(14)) == []
    assert line.step(T0, last_seen=seen, collecting_since=T0 - minutes(16)) == ["opened"]


def test_a_breach_that_began_when_a_withdrawn_warning_opened_is_another_episode() -> None:
    line = predicted()
    line.step(T0 + minutes(10), calm(T0 + minutes(10)))
    now = T0 + minutes(15)
    assert line.step(now, breached(now, T0)) == ["opened"]
    assert len({row["episode"] for row in line.rows}) == 2


def test_a_silence_that_a_person_closed_stays_closed_until_data_come() -> None:
    line, _ = silent(16)
    closed = mark("closed", T0 + minutes(1), episode=line.last["episode"])
    seen = {"a": T0 - minutes(16)}
    assert line.step(T0 + minutes(2), last_seen=seen, marks=[closed]) == ["closed"]
    assert line.step(T0 + minutes(3), last_seen=seen, marks=[closed]) == []

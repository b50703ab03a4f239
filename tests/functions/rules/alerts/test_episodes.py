from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.acted_on import ACTS
from functions.rules.alerts.episode import NEXT_PHASES, Mark, Phase
from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.muting import SILENT_ARM
from functions.rules.alerts.rule import Rule, ServerFacts
from functions.rules.alerts.rule_book import STOCK_BOOK
from functions.rules.alerts.signals import Signal
from tests.functions.rules.alerts.scenes import (
    MEMORY,
    T0,
    Timeline,
    breached,
    calm,
    mark,
    minutes,
    phases_by_episode,
    warned,
)


def predicted() -> Timeline:
    """A timeline with one warning, opened at T0."""
    line = Timeline()
    assert line.step(T0, warned(T0)) == ["opened"]
    return line


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


def test_a_breach_keeps_the_id_of_its_warning_and_pages() -> None:
    line = predicted()
    later = T0 + minutes(50)
    assert line.step(later, breached(later, later - minutes(15))) == ["breached"]
    assert len({row["episode"] for row in line.rows}) == 1
    assert (line.last["phase"], line.last["channels"]) == ("breached", "on-call")
    assert "50 min after the warning" in line.last["why"]


def test_a_breach_that_nothing_foretold_opens_as_one() -> None:
    line = Timeline()
    assert line.step(T0, breached(T0, T0 - minutes(15))) == ["opened"]
    assert (line.last["phase"], line.last["severity"]) == ("breached", "Critical")


def test_a_breach_is_over_after_half_an_hour_clear_of_the_level() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    assert line.step(T0 + minutes(10), calm(T0, under_minutes=10)) == ["changed"]
    assert line.last["closes_at"] == T0 + minutes(30)
    assert line.step(T0 + minutes(31), calm(T0, under_minutes=31)) == ["closed"]
    assert line.last["phase"] == "over"
    assert line.last["channels"] == "on-call"  # a resolve goes where its open went


def test_a_warning_whose_odds_fall_is_withdrawn_with_the_reason() -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, below_minutes=30))
    assert line.last["phase"] == "withdrawn"
    assert "the odds were up to 34 % within 1 h" in line.last["why"]
    assert "by another model" not in line.last["why"]


def test_a_withdrawal_by_another_model_says_so() -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, odds_row={"model": "m2", "checked": True}))
    assert "the forecast changed, by another model" in line.last["why"]


def test_a_change_of_the_model_alone_opens_changes_and_closes_nothing() -> None:
    later, other = T0 + minutes(5), {"model": "m2", "checked": True}
    assert Timeline().step(later, calm(later, odds_row=other)) == []
    assert predicted().step(later, warned(later, odds_row=other)) == []


@pytest.mark.parametrize("changes", [
    {"below_minutes": 25.0},
    {"under_minutes": 0.0},  # no values
    {"issued_at": None, "odds_row": None},  # no odds
    {"issued_at": T0 - minutes(30)},  # old odds
])  # fmt: skip
def test_what_is_not_known_ends_no_warning(changes: dict[str, Any]) -> None:
    line = predicted()
    end = T0 + minutes(40)
    line.step(end, calm(end, **changes))
    assert line.episodes()[0].is_open


def test_without_a_signal_nothing_happens_to_an_episode() -> None:
    line = predicted()
    assert line.step(T0 + timedelta(days=3)) == []


def test_a_warning_without_a_new_forecast_ends_when_its_eight_hours_are_over() -> None:
    line = predicted()
    end = T0 + timedelta(hours=8)
    assert line.step(end, calm(end, issued_at=None)) == ["closed"]
    assert "no forecast for 8 h" in line.last["why"]


def test_odds_that_rise_page_once() -> None:
    line = predicted()
    times = [T0 + minutes(5 * i) for i in range(1, 4)]
    events = [line.step(now, warned(now, 0.6, pages=True)) for now in times]
    assert events == [["changed"], [], []]
    assert (line.last["severity"], line.last["channels"]) == ("Critical", "on-call")


def test_nothing_reopens_for_two_hours_and_longer_when_it_flaps() -> None:
    line = Timeline()
    opened: list[datetime] = []
    now = T0
    while now < T0 + timedelta(hours=14):
        since_open = now - opened[-1] if opened else None
        quiet = since_open is not None and since_open >= minutes(5)
        signal = calm(now, below_minutes=500) if quiet else warned(now)
        line.step(now, signal if line.rows and line.episodes()[-1].is_open else warned(now))
        if line.rows and line.last["event"] == "opened" and line.last["ts"] == now:
            opened.append(now)
        now += minutes(5)
    gaps = [(b - a) / minutes(60) for a, b in pairwise(opened)]
    assert gaps[0] == pytest.approx(2, abs=0.2)
    assert gaps[1] == pytest.approx(4, abs=0.2)


def test_a_breach_opens_even_in_quiet_time_and_is_marked_as_again() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    line.step(T0 + minutes(40), calm(T0 + minutes(40)))
    later = T0 + minutes(70)
    assert line.step(later, breached(later, later - minutes(15))) == ["opened"]
    assert '"again":true' in line.last["state"]
    assert line.last["why"].startswith("again, 30 min after the last episode ended")


def test_the_end_of_the_run_that_was_an_episode_opens_none() -> None:
    line = Timeline(replace(STOCK_BOOK, rules=(Rule(name="breach", close_after="5m"),)))
    line.step(T0, breached(T0, T0 - minutes(15)))
    line.step(T0 + minutes(6), calm(T0, under_minutes=6))
    assert line.last["phase"] == "over"
    now = T0 + minutes(7)
    assert line.step(now, breached(now, T0 - minutes(15), under_minutes=7)) == []


@pytest.mark.parametrize("kind", ACTS)
def test_a_warning_that_somebody_acted_on_is_averted(kind: str) -> None:
    line = predicted()
    acted = mark(kind, T0 + minutes(10), server="a", note="restarted the pool")
    assert line.step(T0 + minutes(11), warned(T0), marks=[acted]) == [kind]
    assert (line.last["made_by"], line.last["phase"]) == ("ann", "predicted")
    line.step(T0 + minutes(50), calm(T0 + minutes(50)), marks=[acted])
    assert line.last["phase"] == "averted"
    assert "restarted the pool" in line.last["why"]


def test_a_reboot_averts_too() -> None:
    line = predicted()
    boot = {"a": T0 + minutes(10)}
    assert line.step(T0 + minutes(11), warned(T0), reboots=boot) == ["reboot"]
    line.step(T0 + minutes(50), calm(T0 + minutes(50)), reboots=boot)
    assert line.last["phase"] == "averted"


def test_a_breach_after_an_act_is_a_breach() -> None:
    line = predicted()
    acted = mark("acting", T0 + minutes(1), episode=line.last["episode"])
    line.step(T0 + minutes(2), warned(T0), marks=[acted])
    later = T0 + minutes(30)
    line.step(later, breached(later, later - minutes(15)), marks=[acted])
    line.step(T0 + minutes(90), calm(T0 + minutes(90)), marks=[acted])
    assert line.phases[-2:] == ["breached", "over"]


def test_an_act_before_the_warning_or_on_another_server_averts_nothing() -> None:
    line = predicted()
    marks = [
        mark("deploy", T0 - minutes(5), server="a"),
        mark("deploy", T0 + minutes(5), server="b"),
    ]
    assert line.step(T0 + minutes(6), warned(T0), marks=marks) == []


def test_to_acknowledge_is_not_to_act() -> None:
    line = predicted()
    seen = mark("acknowledged", T0 + minutes(1), episode=line.last["episode"])
    assert line.step(T0 + minutes(2), warned(T0), marks=[seen]) == ["acknowledged"]
    line.step(T0 + minutes(50), calm(T0 + minutes(50)), marks=[seen])
    assert line.last["phase"] == "withdrawn"


def test_nobody_answers_and_the_next_is_called_once() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    called = []
    for i in range(1, 41):
        line.step(T0 + minutes(i), breached(T0 + minutes(i), T0 - minutes(15)))
        if line.last["event"] == "escalated" and line.last["ts"] == T0 + minutes(i):
            called.append((i, line.last["channels"], line.last["escalation"]))
    assert called == [(15, "senior", 1), (30, "director", 2)]


def test_an_answer_ends_the_escalation_until_it_gets_worse() -> None:
    line = predicted()
    seen = mark("acknowledged", T0 + minutes(1), episode=line.last["episode"])
    line.step(T0 + minutes(1), warned(T0), marks=[seen])
    later = T0 + minutes(20)
    line.step(later, breached(later, later - minutes(15)), marks=[seen])
    assert line.last["channels"] == "on-call"
    much = later + minutes(16)
    assert line.step(much, breached(much, later - minutes(15)), marks=[seen]) == ["escalated"]


def test_a_silenced_episode_is_recorded_with_what_would_have_paged() -> None:
    line = Timeline()
    silence = mark("silence", T0 - minutes(1), pattern="a*", ends_at=T0 + minutes(60), note="known")
    line.step(T0, breached(T0, T0 - minutes(15)), marks=[silence])
    assert line.last["channels"] is None
    assert (
        "silenced by ann until 2026-05-06 13:00 UTC (known): would have been sent to on-call"
        in (line.last["why"])
    )
    assert line.step(T0 + minutes(30), breached(T0, T0), marks=[silence]) == []


def test_what_is_still_open_when_the_silence_ends_is_sent() -> None:
    line = Timeline()
    silence = mark("silence", T0, pattern="*", ends_at=T0 + minutes(60))
    line.step(T0, breached(T0, T0 - minutes(15)), marks=[silence])
    end = T0 + minutes(60)
    assert line.step(end, breached(end, T0 - minutes(15)), marks=[silence]) == ["unsilenced"]
    assert line.last["channels"] == "on-call"


def test_a_silence_that_is_ended_by_hand_ends() -> None:
    marks = [mark("silence", T0, server="a"), mark("unsilence", T0 + minutes(5), server="a")]
    line = Timeline()
    line.step(T0 + minutes(6), warned(T0 + minutes(6)), marks=marks)
    assert line.last["channels"] == "team"


def test_a_maintenance_window_mutes_its_servers() -> None:
    window = Maintenance(name="patch day", zone="UTC", starts="2026-05-06 11:00", duration="2h")
    line = Timeline(replace(STOCK_BOOK, maintenance=(window,)))
    line.step(T0, breached(T0, T0 - minutes(15)))
    assert line.last["channels"] is None
    assert "maintenance window 'patch day' until 2026-05-06 13:00 UTC" in line.last["why"]
    assert line.step(T0 + minutes(60), breached(T0, T0)) == ["unsilenced"]


def test_the_silent_arm_records_a_share_of_low_warnings_and_sends_breaches() -> None:
    book = replace(STOCK_BOOK, silent_share=1.0)
    line = Timeline(book)
    line.step(T0, warned(T0))
    assert line.last["channels"] is None
    assert SILENT_ARM in line.last["why"]
    later = T0 + minutes(30)
    line.step(later, breached(later, later - minutes(15)))
    assert (line.last["event"], line.last["channels"]) == ("breached", "on-call")


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


def test_data_that_come_again_close_it_and_nothing_else_does() -> None:
    line, _ = silent(16)
    assert line.step(T0 + timedelta(days=2), last_seen={}) == []
    again = T0 + timedelta(days=3)
    assert line.step(again, last_seen={"a": again}) == ["closed"]
    assert line.last["phase"] == "over"


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


def test_who_is_still_silent_when_the_first_is_back_is_told_then() -> None:
    line = Timeline(servers=[ServerFacts(name) for name in "abc"])
    line.step(T0, last_seen={name: T0 - minutes(20) for name in "abc"})
    now = T0 + minutes(1)
    seen = {"a": now} | {name: T0 - minutes(20) for name in "bc"}
    assert line.step(now, last_seen=seen) == ["closed"]
    assert line.step(now + minutes(1), last_seen=seen) == ["unsilenced", "unsilenced"]


def test_after_a_start_the_sources_have_time_to_catch_up() -> None:
    line, seen = Timeline(), {"a": T0 - minutes(300)}
    assert line.step(T0, last_seen=seen, collecting_since=T0 - minutes(14)) == []
    assert line.step(T0, last_seen=seen, collecting_since=T0 - minutes(16)) == ["opened"]


def test_an_episode_names_the_one_upstream_that_caused_it() -> None:
    line = Timeline(servers=[ServerFacts("db"), ServerFacts("web")])
    line.step(T0, warned(T0, server="db"), causes={"web": ["db"]})
    now = T0 + minutes(5)
    line.step(now, warned(now, server="db"), warned(now, server="web"), causes={"web": ["db"]})
    root = line.rows[0]["episode"]
    assert (line.last["caused_by"], line.last["group_key"]) == (root, f"cascade {root}")


def test_a_link_that_is_found_later_is_added_and_never_makes_a_circle() -> None:
    line = Timeline(servers=[ServerFacts("db"), ServerFacts("web")])
    both = (warned(T0, server="db"), warned(T0, server="web"))
    line.step(T0, *both)
    links = {"web": ["db"], "db": ["web"]}
    line.step(T0 + minutes(1), *both, causes=links)
    line.step(T0 + minutes(2), *both, causes=links)
    causes = {e.server: e.caused_by for e in line.episodes()}
    assert sorted(value is None for value in causes.values()) == [False, True]


def test_a_person_closes_an_episode_and_it_stays_closed() -> None:
    line = Timeline()
    line.step(T0, breached(T0, T0 - minutes(15)))
    closed = mark("closed", T0 + minutes(1), episode=line.last["episode"])
    now = T0 + minutes(2)
    assert line.step(now, breached(now, T0 - minutes(15)), marks=[closed]) == ["closed"]
    later = T0 + minutes(10)
    assert line.step(later, breached(later, T0 + minutes(5)), marks=[closed]) == []


def test_a_rule_that_was_removed_ends_its_episodes() -> None:
    line = predicted()
    line.book = replace(STOCK_BOOK, rules=())
    assert line.step(T0 + minutes(1), rule="other") == ["closed"]
    assert "off or was removed" in line.last["why"]


def test_an_episode_that_its_rule_no_longer_covers_ends() -> None:
    line = predicted()
    line.book = replace(STOCK_BOOK, rules=(Rule(name="breach", servers=("db*",)),))
    assert line.step(T0 + minutes(1)) == ["closed"]
    assert "no longer covers it" in line.last["why"]


def test_a_mark_of_the_future_averts_nothing_yet() -> None:
    line = predicted()
    planned = mark("deploy", T0 + minutes(1), server="a", starts_at=T0 + minutes(30))
    assert line.step(T0 + minutes(2), warned(T0), marks=[planned]) == []
    assert line.step(T0 + minutes(31), warned(T0), marks=[planned]) == ["deploy"]


def test_true_breaches_make_no_warning_wait_longer() -> None:
    line = Timeline()
    for hours in (0, 4, 8):
        now = T0 + timedelta(hours=hours)
        assert "opened" in line.step(now, warned(now))
        line.step(now + minutes(30), breached(now + minutes(30), now + minutes(15)))
        line.step(now + minutes(90), calm(now + minutes(90)))
        assert line.last["phase"] == "over"


def test_a_run_that_is_repeated_writes_the_same_rows() -> None:
    one, other = Timeline(), Timeline()
    for line in (one, other):
        line.step(T0, warned(T0))
    assert one.rows == other.rows


def test_the_id_of_an_opening_does_not_depend_on_when_it_was_noticed() -> None:
    one, other = Timeline(), Timeline()
    one.step(T0, warned(T0))
    other.step(T0 + minutes(3), warned(T0))
    assert one.last["episode"] == other.last["episode"]


KINDS = ("acknowledged", "acting", "deploy", "silence", "closed")


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[datetime, Signal | None, list[Mark], datetime]]:
    """Any sequence of what may be seen of one server."""
    now, steps = T0, []
    marks: list[Mark] = []
    for _ in range(draw(st.integers(1, 25))):
        now += minutes(draw(st.sampled_from([1, 5, 30, 130])))
        seen = now - minutes(draw(st.sampled_from([0, 20, 2000])))
        signal = draw(st.sampled_from([
            None, calm(now), calm(now, below_minutes=5, under_minutes=5), warned(now),
            warned(now, 0.7, pages=True), breached(now, now - minutes(15)),
            calm(now, issued_at=None),
        ]))  # fmt: skip
        if draw(st.integers(0, 3)) == 0:
            kind = draw(st.sampled_from(KINDS))
            marks = [*marks, mark(kind, now, server="a", ends_at=now + minutes(60))]
        steps.append((now, signal, marks, seen))
    return steps


@settings(max_examples=50)
@given(timelines(), st.sampled_from([0.0, 0.5]))
def test_every_episode_opens_once_ends_at_most_once_and_keeps_to_its_phases(
    steps: list[tuple[datetime, Signal | None, list[Mark], datetime]], share: float
) -> None:
    line = Timeline(replace(STOCK_BOOK, silent_share=share))
    for now, signal, marks, seen in steps:
        signals = [] if signal is None else [signal]
        line.step(now, *signals, last_seen={"a": seen}, marks=marks)
    for phases in phases_by_episode(line.rows).values():
        before: Phase | None = None
        for phase in map(Phase, phases):
            assert phase == before or phase in NEXT_PHASES[before]
            before = phase
    openings = [row["episode"] for row in line.rows if row["event"] == "opened"]
    ends = [row["episode"] for row in line.rows if row["event"] == "closed"]
    assert len(set(openings)) == len(openings)
    assert len(set(ends)) == len(ends)
    assert {row["episode"] for row in line.rows} == set(openings)
    keys = [(row["episode"], row["ts"]) for row in line.rows]
    assert len(set(keys)) == len(keys)

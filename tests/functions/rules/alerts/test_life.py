from dataclasses import replace
from datetime import timedelta

import pytest

from functions.rules.acted_on import ACTS
from functions.rules.alerts.rule import Rule, ServerFacts
from functions.rules.alerts.rule_book import STOCK_BOOK
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
    breached,
    calm,
    mark,
    minutes,
    predicted,
    warned,
)


def test_a_breach_keeps_the_id_of_its_warning_and_pages() -> None:
    line = predicted()
    later = T0 + minutes(50)
    assert line.step(later, breached(later, later - minutes(15))) == ["breached"]
    assert len({row["episode"] for row in line.rows}) == 1
    assert (line.last["phase"], line.last["channels"]) == ("breached", "on-call")
    assert "50 min after the warning" in line.last["why"]


def test_odds_that_rise_page_once() -> None:
    line = predicted()
    times = [T0 + minutes(5 * i) for i in range(1, 4)]
    events = [line.step(now, warned(now, 0.6, pages=True)) for now in times]
    assert events == [["changed"], [], []]
    assert (line.last["severity"], line.last["channels"]) == ("Critical", "on-call")


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


def test_data_that_come_again_close_it_and_nothing_else_does() -> None:
    line = Timeline()
    line.step(T0, last_seen={"a": T0 - minutes(16)})
    assert line.step(T0 + timedelta(days=2), last_seen={}) == []
    again = T0 + timedelta(days=3)
    assert line.step(again, last_seen={"a": again}) == ["closed"]
    assert line.last["phase"] == "over"


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


def test_a_change_of_the_model_alone_opens_changes_and_closes_nothing() -> None:
    later, other = T0 + minutes(5), {"model": "m2", "checked": True}
    assert Timeline().step(later, calm(later, odds_row=other)) == []
    assert predicted().step(later, warned(later, odds_row=other)) == []


def test_an_answer_covers_the_group_of_its_time_and_one_that_joins_later_escalates() -> None:
    servers = [ServerFacts(name, "web_api", "fra") for name in "abc"]
    line = Timeline(servers=servers)
    line.step(T0, *(breached(T0, T0, server=name) for name in "ab"))
    answer = mark("acknowledged", T0 + minutes(2), episode=line.last["episode"])
    for after in (3, 4, 40):
        now = T0 + minutes(after)
        line.step(now, *(breached(now, T0, server=name) for name in "abc"), marks=[answer])
    events = {name: [r["event"] for r in line.rows if r["server"] == name] for name in "abc"}
    assert events["a"] == events["b"] == ["opened", "acknowledged"]
    assert events["c"] == ["opened", "escalated"]
    assert len({episode.group for episode in line.episodes()}) == 1


def test_what_is_done_about_one_of_a_group_does_not_count_for_the_others() -> None:
    line = Timeline(servers=[ServerFacts(name, "web_api", "fra") for name in "ab"])
    line.step(T0, *(warned(T0, server=name) for name in "ab"))
    acting = mark("acting", T0 + minutes(1), episode=line.rows[0]["episode"])
    now = T0 + minutes(2)
    line.step(now, *(warned(now, server=name) for name in "ab"), marks=[acting])
    acted = {e.server: (e.memory.acted is not None, e.memory.answered_by) for e in line.episodes()}
    assert acted == {"a": (True, "ann"), "b": (False, "ann")}

from dataclasses import replace

import pytest

from functions.rules.alerts.episode import Phase, episode_id
from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.muting import SILENT_ARM, in_silent_arm
from functions.rules.alerts.rule import ServerFacts
from functions.rules.alerts.rule_book import STOCK_BOOK
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
    breached,
    mark,
    minutes,
    warned,
)


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


def test_who_is_still_silent_when_the_first_is_back_is_told_then() -> None:
    line = Timeline(servers=[ServerFacts(name) for name in "abc"])
    line.step(T0, last_seen={name: T0 - minutes(20) for name in "abc"})
    now = T0 + minutes(1)
    seen = {"a": now} | {name: T0 - minutes(20) for name in "bc"}
    assert line.step(now, last_seen=seen) == ["closed"]
    assert line.step(now + minutes(1), last_seen=seen) == ["unsilenced", "unsilenced"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_silent_arm_is_a_share_of_all_ids_and_always_the_same(share: float) -> None:
    ids = [episode_id("r", f"s{i}", None, Phase.PREDICTED, T0) for i in range(2000)]
    chosen = [in_silent_arm(each, share) for each in ids]
    assert sum(chosen) == pytest.approx(2000 * share, abs=70)
    assert chosen == [in_silent_arm(each, share) for each in ids]

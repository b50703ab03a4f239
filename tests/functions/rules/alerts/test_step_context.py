from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from functions.rules.alerts.rule import STOCK_RULE, Rule, ServerFacts
from functions.rules.alerts.rule_book import STOCK_BOOK
from functions.rules.alerts.signals import Signal
from tests.functions.rules.alerts.scenes import (
    MEMORY,
    T0,
    Timeline,
    mark,
    minutes,
    warned,
)


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


TWO = (ServerFacts("a", "web_api", "fra"), ServerFacts("b", "web_api", "fra"))


def both(now: datetime, **changes: Any) -> tuple[Signal, Signal]:
    return warned(now, server="a", **changes), warned(now, server="b", **changes)


def test_episodes_that_are_alike_are_sent_together_from_the_first_cycle_on() -> None:
    line = Timeline(servers=(*TWO, ServerFacts("c", "web_api", "fra"), ServerFacts("d")))
    line.step(T0, *both(T0))
    now = T0 + minutes(5)
    line.step(now, *both(now), warned(now, server="c"), warned(now, server="d"))
    groups = {e.server: e.group for e in line.episodes()}
    first = line.rows[0]["episode"]
    assert [groups[name] for name in "abc"] == [first] * 3
    assert groups["d"] != first  # of another profile and site


def test_one_that_opens_after_the_last_of_a_group_has_ended_begins_another() -> None:
    line = Timeline(servers=TWO)
    line.step(T0, warned(T0, server="a"))
    line.step(T0 + minutes(1), marks=[mark("closed", T0, episode=line.last["episode"])])
    now = T0 + minutes(2)
    line.step(now, warned(now, server="b"))
    assert (line.last["server"], line.last["group_id"]) == ("b", None)


@pytest.mark.parametrize(
    ("group_by", "key"),
    [
        ((), None), (("server",), "b"), (("site", "metric"), f"fra, {MEMORY}"),
        (("cascade",), None),
    ],
)  # fmt: skip
def test_a_rule_says_what_its_episodes_are_grouped_by(
    group_by: tuple[str, ...], key: str | None
) -> None:
    rule = Rule(name=STOCK_RULE, group_by=group_by)
    line = Timeline(replace(STOCK_BOOK, rules=(rule,)), TWO)
    line.step(T0, *both(T0))
    assert line.last["group_key"] == key
    assert (line.last["group_id"] is None) == (key != f"fra, {MEMORY}")


def test_what_follows_from_a_cause_is_sent_with_it() -> None:
    line = Timeline(servers=[ServerFacts("db"), ServerFacts("web", "web_api")])
    line.step(T0, warned(T0, server="db"))
    now = T0 + minutes(5)
    line.step(now, warned(now, server="web"), warned(now, server="db"), causes={"web": ["db"]})
    assert (line.last["server"], line.last["group_id"]) == ("web", line.rows[0]["episode"])

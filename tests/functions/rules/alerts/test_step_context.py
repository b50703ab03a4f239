from functions.rules.alerts.rule import ServerFacts
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
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

from functions.rules.alerts.episode import Phase, episode_id, episode_of
from tests.functions.rules.alerts.scenes import (
    T0,
    Timeline,
    minutes,
    predicted,
    warned,
)


def test_the_id_of_an_opening_does_not_depend_on_when_it_was_noticed() -> None:
    one, other = Timeline(), Timeline()
    one.step(T0, warned(T0))
    other.step(T0 + minutes(3), warned(T0))
    assert one.last["episode"] == other.last["episode"]


def test_an_episode_goes_through_a_row_unchanged() -> None:
    line = predicted()
    (episode,) = line.episodes()
    again = episode_of(episode.row("changed", "why", ("a", "b"), "ann"))
    assert again == episode
    assert episode.row("changed", "why", ("a", "b"), "ann")["channels"] == "a,b"


def test_the_rule_server_metric_and_opening_make_the_id() -> None:
    phases, times = (Phase.PREDICTED, Phase.BREACHED), (T0, T0 + minutes(5))
    ids = {
        episode_id(rule, server, metric, phase, ts)
        for rule in "rs" for server in "ab" for metric in ("m", None)
        for phase in phases for ts in times
    }  # fmt: skip
    assert len(ids) == 32

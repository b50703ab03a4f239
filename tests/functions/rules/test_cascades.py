from typing import Any

import numpy as np

from functions.rules.cascades import CASCADE_STEPS, CascadeLink, cascade_links
from storage.model.metrics import METRIC_NAMES
from tests.functions.rules.cascade_scenes import Floats, Scene

LOAD = METRIC_NAMES.index("load_average")
EPISODES = (60, 130, 215, 276)  # when the trouble of the server that leads begins


def fleet(n: int = 12, seed: int = 2) -> Floats:
    """A fleet whose load is noise, and whose other metrics stand still."""
    rng = np.random.default_rng(seed)
    values = np.full((n, CASCADE_STEPS, len(METRIC_NAMES)), 1.0)
    values[:, :, LOAD] = 2 + rng.normal(0, 0.1, (n, CASCADE_STEPS))
    return values


def trouble(values: Floats, server: int, begins: Any, minutes: int = 50) -> None:
    for begin in begins:
        values[server, begin : begin + minutes // 5, LOAD] += 10


def links(values: Floats) -> list[CascadeLink]:
    return cascade_links(values, ["web"] * len(values), range(len(values)))


def test_a_server_is_linked_to_the_one_that_it_follows() -> None:
    values = fleet()
    trouble(values, 3, EPISODES)
    trouble(values, 7, [begin + 2 for begin in EPISODES])
    (link,) = links(values)
    assert (link.upstream, link.downstream) == (3, 7)
    assert (link.upstream_metric, link.downstream_metric) == ("load_average", "load_average")
    assert 5 <= link.lag_minutes <= 15
    assert link.correlation > 0.9
    assert link.p_value < 0.01


def test_servers_in_trouble_at_the_same_time_do_not_cause_each_other() -> None:
    values = fleet()
    for server in (3, 7, 8):
        trouble(values, server, EPISODES)
    assert links(values) == []


def test_one_common_episode_is_no_proof() -> None:
    values = fleet()
    trouble(values, 3, EPISODES[-1:])
    trouble(values, 7, [EPISODES[-1] + 2])
    assert links(values) == []


def test_trouble_that_comes_back_within_an_hour_is_the_same_episode() -> None:
    values = fleet()
    trouble(values, 3, EPISODES[-1:])
    trouble(values, 7, [EPISODES[-1] + 2], minutes=5)
    trouble(values, 7, [EPISODES[-1] + 4], minutes=40)
    assert links(values) == []


def test_an_episode_whose_begin_was_not_seen_is_no_common_one() -> None:
    values = fleet()
    trouble(values, 3, (2, EPISODES[-1]))
    trouble(values, 7, (4, EPISODES[-1] + 2))
    assert links(values) == []


def test_episodes_that_follow_with_other_lags_are_chance() -> None:
    values = fleet()
    trouble(values, 3, (100, 250), minutes=150)
    trouble(values, 7, (100, 256), minutes=150)
    assert links(values) == []


def test_trouble_at_other_times_is_no_cause() -> None:
    values = fleet()
    trouble(values, 3, (20, 90, 170, 272))
    trouble(values, 7, EPISODES)
    assert links(values) == []


def test_the_nearer_of_two_that_lead_is_named() -> None:
    values = fleet()
    trouble(values, 3, [begin - 3 for begin in EPISODES], minutes=20)
    trouble(values, 5, EPISODES)
    trouble(values, 7, [begin + 1 for begin in EPISODES])
    named = {link.downstream: link.upstream for link in links(values)}
    assert named[7] == 5


def test_only_the_servers_that_are_asked_for_and_in_trouble_now_are_linked() -> None:
    values = fleet()
    trouble(values, 3, EPISODES)
    trouble(values, 7, [begin + 2 for begin in EPISODES])
    profiles = ["web"] * len(values)
    assert cascade_links(values, profiles, [3, 5]) == []
    assert cascade_links(np.roll(values, -20, axis=1), profiles, [7]) == []


def test_gaps_and_silent_servers_are_no_trouble() -> None:
    values = fleet()
    trouble(values, 3, EPISODES)
    trouble(values, 7, [begin + 2 for begin in EPISODES])
    values[7, 100:120] = np.nan
    values[1] = np.nan
    assert [(link.upstream, link.downstream) for link in links(values)] == [(3, 7)]


def test_a_daily_step_of_a_whole_profile_makes_no_links() -> None:
    values = fleet(20)
    for hour in (7, 9, 16, 19):
        values[:, hour * 12 :, LOAD] *= 1.6 if hour < 10 else 0.7
    assert links(values) == []


def test_a_healthy_fleet_of_90_is_quiet() -> None:
    scene = Scene(90, "healthy", seed=21)
    linked = [
        link
        for step in range(CASCADE_STEPS, scene.values.shape[1], 60)
        for link in cascade_links(
            scene.before(step, CASCADE_STEPS), scene.profiles, range(len(scene.names))
        )
    ]
    assert linked == []


def test_the_root_of_four_in_five_cascades_is_named() -> None:
    scene = Scene(20, "cascade", seed=23)
    newest: dict[str, str] = {}
    right: list[bool] = []
    victims = [each for each in scene.incidents if scene.cause(each)]
    for step in range(CASCADE_STEPS, scene.values.shape[1], 4):  # every 20 minutes
        servers = range(len(scene.names))
        for link in cascade_links(scene.before(step, CASCADE_STEPS), scene.profiles, servers):
            newest[scene.names[link.downstream]] = scene.names[link.upstream]
        right += [
            newest.get(each.server) == scene.cause(each)
            for each in victims if step - 4 < scene.step(each.ends_at) <= step
        ]  # fmt: skip
    assert len(right) >= 40
    assert np.mean(right) >= 0.8  # of each server the first one cannot be named

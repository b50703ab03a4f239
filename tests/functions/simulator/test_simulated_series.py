"""Simulated series: ranges, consistency between metrics, and the effect of incidents."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from functions.simulator.incidents import SCENARIOS, Incident, incidents
from functions.simulator.rng import Floats, Ints
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.profiles import levels_for

FLEET = make_fleet(20, seed=5)
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
EPOCH = int(START.timestamp())
DAY = 86400


def times(days: float, step: int = 300) -> Ints:
    return np.arange(EPOCH, EPOCH + int(days * DAY), step, dtype=np.int64)


def of(samples: Floats, name: str) -> Floats:
    column: Floats = samples[..., METRIC_NAMES.index(name)]
    return column


def worst(samples: Floats, name: str) -> Floats:
    """Samples with the sign changed where a low value is bad."""
    return -of(samples, name) if name == "cpu_idle_pct" else of(samples, name)


def level(server: int, name: str) -> float:
    """The critical level of a server's metric, turned as `worst` turns it."""
    critical = levels_for(FLEET[server].profile, FLEET[server].cores)[name].critical
    return -critical if name == "cpu_idle_pct" else critical


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_sample_is_within_the_range_of_its_metric(scenario: str) -> None:
    samples = simulate(FLEET, times(3), [(START, scenario)], seed=5)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    for metric in METRICS:
        assert of(samples, metric.name).min() >= metric.lowest
        assert of(samples, metric.name).max() <= (metric.highest or np.inf)


@pytest.mark.parametrize("step", [5, 60, 300, 7 * 3600])
def test_two_halves_of_a_window_equal_the_whole(step: int) -> None:
    timestamps = EPOCH + np.arange(-60, 60, dtype=np.int64) * step
    timeline = [(START, "critical")]
    whole = simulate(FLEET, timestamps, timeline, seed=5)
    parts = [simulate(FLEET, half, timeline, seed=5) for half in np.split(timestamps, [83])]
    np.testing.assert_array_equal(whole, np.concatenate(parts, axis=1))


def test_a_server_has_the_same_samples_in_any_fleet() -> None:
    timeline = [(START, "cascade")]
    whole = simulate(make_fleet(300, seed=5), times(0.5), timeline, seed=5)
    part = simulate(FLEET[3:9], times(0.5), timeline, seed=5)
    np.testing.assert_array_equal(whole[3:9], part)


def test_a_later_switch_changes_no_sample_before_it() -> None:
    timeline = [(START, "critical")]
    later = [*timeline, (START + timedelta(days=1), "healthy")]
    before = simulate(FLEET, times(1), timeline, seed=5)
    np.testing.assert_array_equal(before, simulate(FLEET, times(1), later, seed=5))


def test_another_seed_gives_other_samples() -> None:
    one, other = (simulate(FLEET, times(0.1), [], seed=seed) for seed in (5, 6))
    assert not np.isclose(one, other).all(axis=(0, 1)).any()


@pytest.mark.parametrize("cores_known", [True, False])
def test_no_server_of_a_healthy_fleet_reaches_a_critical_level(cores_known: bool) -> None:
    fleet = make_fleet(100, seed=5)
    switched = [(START - timedelta(days=1), "healthy")]
    samples = simulate(fleet, times(7), switched, seed=5)
    for row, server in enumerate(fleet):
        for name, levels in levels_for(server.profile, server.cores if cores_known else 0).items():
            turned = -levels.critical if name == "cpu_idle_pct" else levels.critical
            assert worst(samples[row], name).max() < turned, (server, name)


def test_half_of_a_critical_fleet_is_critical_half_an_hour_after_the_switch() -> None:
    at = np.array([EPOCH + 1800], dtype=np.int64)
    samples = simulate(FLEET, at, [(START, "critical")], seed=5)
    critical = [
        any(
            worst(samples[row], name)[0] >= level(row, name)
            for name in levels_for(server.profile, server.cores)
        )
        for row, server in enumerate(FLEET)
    ]
    assert 0.4 <= np.mean(critical) <= 0.6


@pytest.mark.parametrize("scenario", ["mixed", "degrading", "critical", "cascade"])
def test_every_incident_brings_its_main_metric_to_the_critical_level(scenario: str) -> None:
    timestamps = times(4)
    samples = simulate(FLEET, timestamps, [(START, scenario)], seed=5)
    for incident, row, span in spans(scenario, timestamps):
        name = incident.metrics[0]
        assert worst(samples[row, span], name).max() >= level(row, name), incident


def test_an_incident_is_visible_before_it_is_critical() -> None:
    timestamps = times(8)
    samples = simulate(FLEET, timestamps, [(START, "mixed")], seed=5)
    for incident, row, span in spans("mixed", timestamps):
        if incident.kind != "memory_leak":
            continue
        memory = of(samples[row, span], "mem_used_pct")
        breach = int(np.argmax(memory >= level(row, "mem_used_pct")))
        assert breach >= 12
        assert memory[0] + 5 < memory[breach // 2] < memory[breach] - 5


def test_the_parts_of_the_cpu_add_up_to_100_percent() -> None:
    samples = simulate(FLEET, times(4), [(START, "critical")], seed=5)
    total = samples[..., :4].sum(axis=-1)
    assert total.min() >= 98
    assert total.max() <= 100.01


def test_java_uses_no_more_cpu_than_user_and_kernel_together() -> None:
    samples = simulate(FLEET, times(4), [(START, "critical")], seed=5)
    busy = of(samples, "cpu_user_pct") + of(samples, "cpu_sys_pct")
    assert (of(samples, "java_cpu_pct") <= busy).all()


def test_swap_is_used_only_when_memory_has_run_out() -> None:
    samples = simulate(FLEET, times(4), [(START, "critical")], seed=5)
    memory, swap = of(samples, "mem_used_pct"), of(samples, "swap_used_pct")
    assert swap[memory < 90].max() < 20
    assert swap[memory > 99.5].min() > 50


def test_load_follows_the_cpu_and_connections_follow_traffic() -> None:
    samples = simulate(FLEET, times(7), [(START - timedelta(days=1), "healthy")], seed=5)
    for row, server in enumerate(FLEET):
        used = 100 - of(samples[row], "cpu_idle_pct")
        assert np.corrcoef(used, of(samples[row], "load_average"))[0, 1] > 0.5
        if server.profile == "web_api":
            pair = of(samples[row], "net_in_mb_s"), of(samples[row], "back_close_wait")
            assert np.corrcoef(*pair)[0, 1] > 0.7


def test_uptime_grows_with_time_and_restarts_at_a_reboot() -> None:
    uptime = of(simulate(FLEET, times(90, 3600), [], seed=5), "uptime_days")
    steps = np.diff(uptime, axis=1)
    reboots = steps < 0
    assert 20 <= reboots.sum() <= 60
    assert uptime[:, 1:][reboots].max() < 1 / 24
    np.testing.assert_allclose(steps[~reboots], 1 / 24, atol=1e-4)


def test_web_servers_are_busier_by_day_and_on_working_days() -> None:
    samples = simulate(FLEET, times(7), [(START - timedelta(days=1), "healthy")], seed=5)
    web = [row for row, server in enumerate(FLEET) if server.profile == "web_api"]
    traffic = of(samples, "net_in_mb_s")[web].mean(axis=0).reshape(7, 24, 12).mean(axis=2)
    assert traffic[:5, 10:16].mean() > 1.8 * traffic[:5, :5].mean()
    assert traffic[:5].mean() > 1.2 * traffic[5:].mean()


def test_disk_usage_changes_slowly() -> None:
    disk = of(simulate(FLEET, times(4), [(START, "healthy")], seed=5), "disk_usage_pct")
    steps = np.abs(np.diff(disk[:, 12:], axis=1))
    assert np.median(steps) < 0.1
    assert (disk.max(axis=1) - disk.min(axis=1)).min() > 0.3


def test_servers_of_one_profile_differ() -> None:
    samples = simulate(FLEET, times(1), [(START, "healthy")], seed=5)
    web = [row for row, server in enumerate(FLEET) if server.profile == "web_api"]
    means = np.sort(of(samples, "mem_used_pct")[web].mean(axis=1))
    assert np.diff(means).min() > 0.05


def test_memory_usage_is_correlated_over_minutes_and_not_over_hours() -> None:
    switched = [(START - timedelta(days=1), "healthy")]
    generic = [server for server in make_fleet(200, seed=5) if server.profile == "generic"]
    memory = of(simulate(generic, times(5), switched, seed=5), "mem_used_pct")
    memory = memory - memory.mean(axis=1, keepdims=True)
    lags = [np.mean(memory[:, :-lag] * memory[:, lag:]) / np.mean(memory**2) for lag in (1, 48)]
    assert lags[0] > 0.75
    assert lags[1] < 0.4


def test_no_timestamps_give_no_samples() -> None:
    assert simulate(FLEET, times(0), [], seed=5).shape == (20, 0, 14)


def test_timestamps_out_of_order_are_rejected() -> None:
    with pytest.raises(ValueError, match="pass them in ascending order"):
        simulate(FLEET, times(1)[::-1], [], seed=5)


def spans(scenario: str, timestamps: Ints) -> list[tuple[Incident, int, slice]]:
    """Incidents entirely within the timestamps: each with its row and its slice of them."""
    names = [server.name for server in FLEET]
    stop = datetime.fromtimestamp(int(timestamps[-1]), UTC)
    whole = [
        incident
        for incident in incidents(FLEET, [(START, scenario)], START, stop, seed=5)
        if incident.starts_at >= START and incident.ends_at < stop
    ]
    return [
        (incident, names.index(incident.server), slice(*bounds))
        for incident in whole
        if (
            bounds := np.searchsorted(
                timestamps, [incident.starts_at.timestamp(), incident.ends_at.timestamp()]
            )
        ).size
    ]

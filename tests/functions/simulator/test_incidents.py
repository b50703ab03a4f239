"""Incidents of the simulated fleet: how many, of which kinds, and cut short by a switch."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.simulator.incident_kinds import KIND_NAMES
from functions.simulator.incidents import SCENARIOS, Incident, incidents, truth_rows
from functions.simulator.simulated_fleet import make_fleet
from storage.model.schema import table

FLEET = make_fleet(20, seed=5)
START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def incidents_of(scenario: str, start: datetime, stop: datetime) -> list[Incident]:
    return incidents(FLEET, [(START, scenario)], start, stop, seed=5)


def affected_share(scenario: str, ts: datetime) -> float:
    """The share of the fleet that has an incident at `ts`."""
    running = incidents_of(scenario, ts, ts + timedelta(seconds=1))
    return len({incident.server for incident in running}) / len(FLEET)


def test_a_healthy_fleet_has_no_incident() -> None:
    assert incidents_of("healthy", START + HOUR, START + 240 * HOUR) == []


def test_a_mixed_fleet_has_one_incident_per_server_every_two_to_four_days() -> None:
    fleet = make_fleet(100, seed=5)
    everything = incidents(fleet, [], START, START + timedelta(days=12), seed=5)
    days_between = 100 * 12 / len(everything)
    assert 2 <= days_between <= 4


def test_a_mixed_fleet_has_incidents_of_every_kind() -> None:
    fleet = make_fleet(100, seed=5)
    everything = incidents(fleet, [], START, START + timedelta(days=12), seed=5)
    assert {incident.kind for incident in everything} == set(KIND_NAMES)


def test_about_a_quarter_of_a_degrading_fleet_has_incidents_at_any_hour() -> None:
    shares = [affected_share("degrading", START + hours * HOUR) for hours in (1, 2, 4, 9, 40)]
    assert all(0.1 <= share <= 0.45 for share in shares)


def test_half_of_a_critical_fleet_has_incidents_within_minutes() -> None:
    times = [START + timedelta(minutes=minutes) for minutes in (20, 60, 120, 170)]
    assert all(0.4 <= affected_share("critical", ts) <= 0.6 for ts in times)


def test_a_critical_fleet_has_incidents_until_the_scenario_is_switched() -> None:
    times = [START + timedelta(minutes=minutes) for minutes in range(20, 3000, 7)]
    assert all(affected_share("critical", ts) >= 0.4 for ts in times)


def test_in_a_cascade_web_servers_follow_their_database_by_minutes() -> None:
    everything = {i.incident_id: i for i in incidents_of("cascade", START + HOUR / 4, START + HOUR)}
    victims = [i for i in everything.values() if i.kind == "cascade_victim"]
    assert len(victims) == 3
    for victim in victims:
        cause = everything[victim.caused_by or ""]
        assert cause.kind == "database_failure"
        assert 3 <= (victim.starts_at - cause.starts_at) / timedelta(minutes=1) <= 15


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_any_window_has_the_same_incidents(scenario: str) -> None:
    whole = incidents_of(scenario, START - 30 * HOUR, START + 30 * HOUR)
    hours = [START + hour * HOUR for hour in range(-30, 30)]
    pieces = {i.incident_id: i for hour in hours for i in incidents_of(scenario, hour, hour + HOUR)}
    assert pieces == {incident.incident_id: incident for incident in whole}


def test_an_incident_does_not_depend_on_the_rest_of_the_fleet() -> None:
    alone = incidents(FLEET[8:10], [(START, "cascade")], START, START + 9 * HOUR, seed=5)
    names = {server.name for server in FLEET[8:10]}
    assert alone == [
        i for i in incidents_of("cascade", START, START + 9 * HOUR) if i.server in names
    ]


def test_a_switch_cuts_running_incidents_short_and_changes_no_start() -> None:
    before = incidents_of("critical", START, START + HOUR)
    timeline = [(START, "critical"), (START + HOUR, "healthy")]
    after = incidents(FLEET, timeline, START, START + HOUR, seed=5)
    assert [i.starts_at for i in after] == [i.starts_at for i in before]
    assert max(i.ends_at for i in after) <= START + 1.25 * HOUR
    assert incidents(FLEET, timeline, START + 2 * HOUR, START + 9 * HOUR, seed=5) == []


def test_switching_to_the_current_scenario_changes_nothing() -> None:
    again = [(START, "critical"), (START + HOUR, "critical")]
    window = (START, START + 8 * HOUR)
    assert incidents(FLEET, again, *window, seed=5) == incidents_of("critical", *window)


def test_another_seed_gives_other_incidents() -> None:
    window = (START, START + 48 * HOUR)
    assert incidents(FLEET, [], *window, seed=5) != incidents(FLEET, [], *window, seed=6)


def test_every_incident_grows_before_it_peaks_and_ends() -> None:
    for incident in incidents_of("mixed", START, START + 200 * HOUR):
        assert incident.peaks_at - incident.starts_at >= timedelta(minutes=5)
        assert incident.ends_at > incident.peaks_at


def test_truth_rows_have_the_schema_of_the_truth_table() -> None:
    everything = incidents_of("cascade", START, START + HOUR)
    rows = truth_rows(everything)
    assert rows.schema == table("truth").arrow
    assert rows.column("caused_by").to_pylist() == [i.caused_by for i in everything]
    assert truth_rows([]).num_rows == 0


def test_an_unknown_scenario_is_rejected_with_the_valid_ones() -> None:
    with pytest.raises(
        ValueError, match=r"'chaos' is not a valid scenario \(expected healthy, mixed, degrading"
    ):
        incidents_of("chaos", START, START + HOUR)


def test_a_timeline_out_of_order_is_rejected() -> None:
    timeline = [(START + HOUR, "critical"), (START, "healthy")]
    with pytest.raises(ValueError, match="sort its switches by time"):
        incidents(FLEET, timeline, START, START + HOUR, seed=5)


def test_a_time_without_a_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        incidents_of("mixed", START.replace(tzinfo=None), START + HOUR)

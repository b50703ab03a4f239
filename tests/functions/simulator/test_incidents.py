"""What befalls the simulated fleet."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.simulator.incident_kinds import KIND_NAMES
from functions.simulator.incidents import SCENARIOS, Incident, incidents, truth_rows
from functions.simulator.simulated_fleet import make_fleet
from storage.model.schema import table

FLEET = make_fleet(20, seed=5)
START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def found(scenario: str, start: datetime, stop: datetime) -> list[Incident]:
    return incidents(FLEET, [(START, scenario)], start, stop, seed=5)


def touched(scenario: str, moment: datetime) -> float:
    """The share of the fleet that is in an incident at `moment`."""
    now = found(scenario, moment, moment + timedelta(seconds=1))
    return len({incident.server for incident in now}) / len(FLEET)


def test_a_healthy_fleet_has_no_incident() -> None:
    assert found("healthy", START + HOUR, START + 240 * HOUR) == []


def test_a_mixed_fleet_has_one_incident_per_server_every_two_to_four_days() -> None:
    fleet = make_fleet(100, seed=5)
    everything = incidents(fleet, [], START, START + timedelta(days=12), seed=5)
    days_between = 100 * 12 / len(everything)
    assert 2 <= days_between <= 4


def test_the_mixed_fleet_shows_every_kind_of_trouble() -> None:
    fleet = make_fleet(100, seed=5)
    everything = incidents(fleet, [], START, START + timedelta(days=12), seed=5)
    assert {incident.kind for incident in everything} == set(KIND_NAMES)


def test_a_quarter_of_a_degrading_fleet_is_in_trouble_hour_after_hour() -> None:
    shares = [touched("degrading", START + hours * HOUR) for hours in (1, 2, 4, 9, 40)]
    assert all(0.1 <= share <= 0.45 for share in shares)


def test_half_of_a_critical_fleet_is_in_trouble_within_minutes() -> None:
    moments = [START + timedelta(minutes=minutes) for minutes in (20, 60, 120, 170)]
    assert all(0.4 <= touched("critical", moment) <= 0.6 for moment in moments)


def test_a_critical_fleet_stays_in_trouble_until_it_is_switched() -> None:
    moments = [START + timedelta(minutes=minutes) for minutes in range(20, 3000, 7)]
    assert all(touched("critical", moment) >= 0.4 for moment in moments)


def test_in_a_cascade_web_servers_follow_their_database_by_minutes() -> None:
    everything = {i.incident_id: i for i in found("cascade", START + HOUR / 4, START + HOUR)}
    victims = [i for i in everything.values() if i.kind == "cascade_victim"]
    assert len(victims) == 3
    for victim in victims:
        cause = everything[victim.caused_by or ""]
        assert cause.kind == "database_failure"
        assert 3 <= (victim.starts_at - cause.starts_at) / timedelta(minutes=1) <= 15


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_incidents_come_out_of_any_window(scenario: str) -> None:
    whole = found(scenario, START - 30 * HOUR, START + 30 * HOUR)
    hours = [START + hour * HOUR for hour in range(-30, 30)]
    pieces = {i.incident_id: i for hour in hours for i in found(scenario, hour, hour + HOUR)}
    assert pieces == {incident.incident_id: incident for incident in whole}


def test_an_incident_does_not_depend_on_the_rest_of_the_fleet() -> None:
    alone = incidents(FLEET[8:10], [(START, "cascade")], START, START + 9 * HOUR, seed=5)
    names = {server.name for server in FLEET[8:10]}
    assert alone == [i for i in found("cascade", START, START + 9 * HOUR) if i.server in names]


def test_a_switch_cuts_short_what_runs_and_leaves_the_past_alone() -> None:
    before = found("critical", START, START + HOUR)
    timeline = [(START, "critical"), (START + HOUR, "healthy")]
    after = incidents(FLEET, timeline, START, START + HOUR, seed=5)
    assert [i.starts_at for i in after] == [i.starts_at for i in before]
    assert max(i.ends_at for i in after) <= START + 1.25 * HOUR
    assert incidents(FLEET, timeline, START + 2 * HOUR, START + 9 * HOUR, seed=5) == []


def test_choosing_the_running_scenario_again_changes_nothing() -> None:
    again = [(START, "critical"), (START + HOUR, "critical")]
    window = (START, START + 8 * HOUR)
    assert incidents(FLEET, again, *window, seed=5) == found("critical", *window)


def test_another_seed_gives_other_incidents() -> None:
    window = (START, START + 48 * HOUR)
    assert incidents(FLEET, [], *window, seed=5) != incidents(FLEET, [], *window, seed=6)


def test_every_incident_grows_before_it_peaks_and_ends() -> None:
    for incident in found("mixed", START, START + 200 * HOUR):
        assert incident.peaks_at - incident.starts_at >= timedelta(minutes=5)
        assert incident.ends_at > incident.peaks_at


def test_truth_rows_are_a_segment_of_the_truth_table() -> None:
    everything = found("cascade", START, START + HOUR)
    rows = truth_rows(everything)
    assert rows.schema == table("truth").arrow
    assert rows.column("caused_by").to_pylist() == [i.caused_by for i in everything]
    assert truth_rows([]).num_rows == 0


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'chaos' is unknown; use healthy, mixed, degrading"):
        found("chaos", START, START + HOUR)


def test_a_timeline_out_of_order_is_refused() -> None:
    timeline = [(START + HOUR, "critical"), (START, "healthy")]
    with pytest.raises(ValueError, match="sort its switches by time"):
        incidents(FLEET, timeline, START, START + HOUR, seed=5)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        found("mixed", START.replace(tzinfo=None), START + HOUR)

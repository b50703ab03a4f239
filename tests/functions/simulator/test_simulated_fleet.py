"""Simulated fleet: its profiles, names and databases."""

import pytest

from functions.simulator.simulated_fleet import SimulatedServer, database_of, make_fleet
from storage.model.profiles import PROFILE_NAMES, profile_of


def test_twenty_servers_have_all_profiles_and_include_the_first_database() -> None:
    fleet = make_fleet(20, seed=1)
    assert {server.profile for server in fleet} == set(PROFILE_NAMES)
    assert "ppdb001" in {server.name for server in fleet}


def test_ten_thousand_names_differ_and_imply_the_profile() -> None:
    fleet = make_fleet(10_000, seed=1)
    assert len({server.name for server in fleet}) == 10_000
    assert all(profile_of(server.name) == server.profile for server in fleet)


def test_a_larger_fleet_begins_with_the_smaller_one() -> None:
    assert make_fleet(500, seed=4)[:20] == make_fleet(20, seed=4)


def test_the_database_of_each_web_server_is_in_the_fleet() -> None:
    fleet = make_fleet(60, seed=1)
    names = {server.name for server in fleet}
    databases = [database_of(server) for server in fleet if server.profile == "web_api"]
    assert all(database is not None and database.name in names for database in databases)
    assert database_of(SimulatedServer("ppml001", "ml_compute", 8, "paris")) is None


def test_a_fleet_of_no_servers_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"servers is 0 \(expected at least 1\)"):
        make_fleet(0, seed=1)

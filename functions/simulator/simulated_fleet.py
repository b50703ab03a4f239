"""Simulated fleet: racks of 20 servers with all 7 profiles, repeated to any size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from functions.simulator.rng import Ints, Keys, keys_of, uniform
from storage.model.profiles import PROFILE_NAMES

__all__ = ["FleetColumns", "SimulatedServer", "database_of", "fleet_columns", "make_fleet"]

_STEMS = {
    "ml_compute": "ppml",
    "database": "ppdb",
    "web_api": "ppweb",
    "conductor_mgmt": "ppcon",
    "data_ingest": "ppetl",
    "risk_analytics": "pprisk",
    "generic": "app",
}

# A fleet repeats this rack. The first seven servers have all profiles, and each database comes
# before the web servers that depend on it, so that even a small fleet has cascades.
_RACK = (
    "ml_compute", "database", "web_api", "conductor_mgmt", "data_ingest", "risk_analytics",
    "generic", "database", "web_api", "web_api", "web_api", "ml_compute", "data_ingest",
    "web_api", "conductor_mgmt", "risk_analytics", "web_api", "generic", "ml_compute",
    "data_ingest",
)  # fmt: skip

_PLACES = {
    profile: tuple(place for place, each in enumerate(_RACK) if each == profile)
    for profile in PROFILE_NAMES
}

# At most 12, so that the load stays below the levels for servers whose cores are unknown.
_CORES = {
    "ml_compute": (8, 12),
    "database": (8, 12),
    "web_api": (4, 8, 12),
    "conductor_mgmt": (4, 8),
    "data_ingest": (8, 12),
    "risk_analytics": (8, 12),
    "generic": (2, 4, 8),
}

_SITES = ("paris", "frankfurt")


@dataclass(frozen=True, slots=True)
class SimulatedServer:
    """One server of the fleet; its metrics depend on `name`, the seed and the timeline only."""

    name: str
    profile: str
    cores: int
    site: str


@dataclass(frozen=True, slots=True)
class FleetColumns:
    """The fleet as columns of [servers].

    `profiles` index PROFILE_NAMES; `numbers` are those in the names, from 1 on per profile, and
    `places` count from 0 over all racks.
    """

    keys: Keys
    profiles: Ints
    cores: Ints
    numbers: Ints
    places: Ints

    def part(self, rows: slice) -> "FleetColumns":
        """Return the servers of `rows`."""
        return FleetColumns(*(getattr(self, name)[rows] for name in FleetColumns.__slots__))


def make_fleet(servers: int, seed: int) -> tuple[SimulatedServer, ...]:
    """Return the first `servers` of the endless fleet of `seed`; ValueError if less than 1."""
    if servers < 1:
        raise ValueError(f"servers is {servers} (expected at least 1)")
    draws = uniform(keys_of(("fleet",), seed), np.arange(servers, dtype=np.int64))
    return tuple(_server(place, float(draw)) for place, draw in enumerate(draws))


def database_of(server: SimulatedServer) -> SimulatedServer | None:
    """Return the database that a web server depends on; None for other profiles."""
    if server.profile != "web_api":
        return None
    webs, databases = len(_PLACES["web_api"]), len(_PLACES["database"])
    rack, nth = divmod(_number(server.name) - 1, webs)
    name = f"{_STEMS['database']}{rack * databases + nth % databases + 1:03d}"
    return SimulatedServer(name, "database", _CORES["database"][0], server.site)


def fleet_columns(fleet: Sequence[SimulatedServer], seed: int) -> FleetColumns:
    """Return `fleet` as columns, with the keys of its random numbers under `seed`."""
    return FleetColumns(
        keys_of((server.name for server in fleet), seed),
        np.array([PROFILE_NAMES.index(server.profile) for server in fleet], dtype=np.int64),
        np.array([server.cores for server in fleet], dtype=np.int64),
        np.array([_number(server.name) for server in fleet], dtype=np.int64),
        np.array([_place(server) for server in fleet], dtype=np.int64),
    )


def _server(place: int, draw: float) -> SimulatedServer:
    rack, position = divmod(place, len(_RACK))
    profile = _RACK[position]
    places = _PLACES[profile]
    number = rack * len(places) + places.index(position) + 1
    cores = _CORES[profile][int(draw * len(_CORES[profile]))]
    return SimulatedServer(
        f"{_STEMS[profile]}{number:03d}", profile, cores, _SITES[rack % len(_SITES)]
    )


def _place(server: SimulatedServer) -> int:
    """The place of a server in the racks, from its name."""
    places = _PLACES[server.profile]
    rack, nth = divmod(_number(server.name) - 1, len(places))
    return rack * len(_RACK) + places[nth]


def _number(name: str) -> int:
    return int("".join(letter for letter in name if letter.isdigit()) or 1)

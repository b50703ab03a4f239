"""The simulated fleet: 20 servers over the 7 profiles, and as many times that as one asks for."""

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

# A fleet repeats this rack. Its first seven show every profile, and each database stands
# before the web servers that it serves, so that a small fleet has its cascades too.
_RACK = (
    "ml_compute", "database", "web_api", "conductor_mgmt", "data_ingest", "risk_analytics",
    "generic", "database", "web_api", "web_api", "web_api", "ml_compute", "data_ingest",
    "web_api", "conductor_mgmt", "risk_analytics", "web_api", "generic", "ml_compute",
    "data_ingest",
)  # fmt: skip

_PLACES = {
    profile: tuple(place for place, held in enumerate(_RACK) if held == profile)
    for profile in PROFILE_NAMES
}

# Twelve cores at most: load then keeps under its level for servers whose cores are unknown.
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
    """One server of the fleet; `name` decides, with the seed, all that ever happens to it."""

    name: str
    profile: str
    cores: int
    site: str


@dataclass(frozen=True, slots=True)
class FleetColumns:
    """The fleet as columns of [servers].

    `profiles` index PROFILE_NAMES; `numbers` are those in the names, from 1 per profile, and
    `places` those in the racks, from 0.
    """

    keys: Keys
    profiles: Ints
    cores: Ints
    numbers: Ints
    places: Ints

    def part(self, rows: slice) -> "FleetColumns":
        """The servers of `rows` alone."""
        return FleetColumns(*(getattr(self, name)[rows] for name in FleetColumns.__slots__))


def make_fleet(servers: int, seed: int) -> tuple[SimulatedServer, ...]:
    """The first `servers` of the endless fleet of `seed`; ValueError when fewer than 1."""
    if servers < 1:
        raise ValueError(f"servers is {servers}; a fleet has 1 server or more")
    draws = uniform(keys_of(("fleet",), seed), np.arange(servers, dtype=np.int64))
    return tuple(_server(place, float(draw)) for place, draw in enumerate(draws))


def database_of(server: SimulatedServer) -> SimulatedServer | None:
    """The database that a web server depends on; None for other servers."""
    if server.profile != "web_api":
        return None
    webs, databases = len(_PLACES["web_api"]), len(_PLACES["database"])
    rack, nth = divmod(_number(server.name) - 1, webs)
    name = f"{_STEMS['database']}{rack * databases + nth % databases + 1:03d}"
    return SimulatedServer(name, "database", _CORES["database"][0], server.site)


def fleet_columns(fleet: Sequence[SimulatedServer], seed: int) -> FleetColumns:
    """The columns of `fleet` under `seed`."""
    return FleetColumns(
        keys_of((server.name for server in fleet), seed),
        np.array([PROFILE_NAMES.index(server.profile) for server in fleet], dtype=np.int64),
        np.array([server.cores for server in fleet], dtype=np.int64),
        np.array([_number(server.name) for server in fleet], dtype=np.int64),
        np.array([_place(server) for server in fleet], dtype=np.int64),
    )


def _server(place: int, draw: float) -> SimulatedServer:
    rack, held = divmod(place, len(_RACK))
    profile = _RACK[held]
    places = _PLACES[profile]
    number = rack * len(places) + places.index(held) + 1
    cores = _CORES[profile][int(draw * len(_CORES[profile]))]
    return SimulatedServer(
        f"{_STEMS[profile]}{number:03d}", profile, cores, _SITES[rack % len(_SITES)]
    )


def _place(server: SimulatedServer) -> int:
    """Where in the racks a server stands, read off its name."""
    places = _PLACES[server.profile]
    rack, nth = divmod(_number(server.name) - 1, len(places))
    return rack * len(_RACK) + places[nth]


def _number(name: str) -> int:
    return int("".join(letter for letter in name if letter.isdigit()) or 1)

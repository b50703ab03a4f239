"""Simulated histories for replays, with the lead that each incident leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from functions.simulator.incidents import incidents
from functions.simulator.simulated_fleet import SimulatedServer, make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES
from storage.query.history import STEP_S, History

__all__ = ["SimulatedHistory", "simulated_history"]

DAY_STEPS = 288
_SAMPLES = 5  # of a step: its mean is what is seen

# The start and end of each incident in minutes, by server and metric.
Causes = Mapping[tuple[int, int], Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class SimulatedHistory:
    """A history, its servers' cores, and what causes its breaches."""

    history: History
    cores: tuple[int, ...]
    causes: Causes


def simulated_history(
    scenario: str, servers: int, days: float, seed: int, start: datetime
) -> SimulatedHistory:
    """Return `days` of a simulated fleet in which a scenario holds from the start."""
    fleet = make_fleet(servers, seed)
    steps = round(days * DAY_STEPS)
    start_s = int(start.timestamp())
    timeline = [(start - timedelta(days=1), scenario)]
    seconds = start_s + np.arange(steps * _SAMPLES, dtype=np.int64) * (STEP_S // _SAMPLES)
    values = np.empty((servers, steps, len(METRIC_NAMES)), np.float32)
    for i in range(servers):  # a sample depends on its own server alone
        every = simulate(fleet[i : i + 1], seconds, timeline, seed)
        values[i] = every.reshape(steps, _SAMPLES, -1).mean(axis=1)
    profiles = np.array([PROFILE_NAMES.index(server.profile) for server in fleet], np.int64)
    history = History(tuple(s.name for s in fleet), profiles, start_s, values)
    stop = start + timedelta(seconds=steps * STEP_S)
    return SimulatedHistory(
        history, tuple(s.cores for s in fleet), _causes(fleet, timeline, start, stop, seed)
    )


def _causes(
    fleet: Sequence[SimulatedServer],
    timeline: Sequence[tuple[datetime, str]],
    start: datetime,
    stop: datetime,
    seed: int,
) -> Causes:
    places = {server.name: i for i, server in enumerate(fleet)}
    causes: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for incident in incidents(fleet, timeline, start, stop, seed):
        span = tuple(
            (each.astimezone(UTC) - start) / timedelta(minutes=1)
            for each in (incident.starts_at, incident.ends_at)
        )
        for metric in incident.metrics:
            key = places[incident.server], METRIC_NAMES.index(metric)
            causes.setdefault(key, []).append((span[0], span[1]))
    return causes

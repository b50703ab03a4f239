"""5-minute means of the simulated fleet, for tests of cascades."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.simulator.incidents import Incident, incidents
from functions.simulator.simulated_fleet import SimulatedServer, make_fleet
from functions.simulator.simulated_series import simulate
from storage.model.grid import STEP
from storage.model.metrics import METRIC_NAMES

START = datetime(2026, 5, 4, tzinfo=UTC)
Floats = npt.NDArray[np.floating[Any]]


class Scene:
    """A fleet that was healthy before START and plays `scenario` for 22 hours since."""

    def __init__(self, servers: int, scenario: str, seed: int) -> None:
        self.fleet: Sequence[SimulatedServer] = make_fleet(servers, seed)
        self.names = [server.name for server in self.fleet]
        self.profiles = [server.profile for server in self.fleet]
        timeline = [(START - timedelta(days=30), "healthy"), (START, scenario)]
        self.begin = START - timedelta(days=1)
        self.stop = START + timedelta(hours=22)
        samples = np.arange(int(self.begin.timestamp()), int(self.stop.timestamp()), 60)
        values = simulate(self.fleet, samples, timeline, seed)
        self.values: Floats = values.reshape(servers, -1, 5, len(METRIC_NAMES)).mean(axis=2)
        self.incidents: list[Incident] = incidents(self.fleet, timeline, START, self.stop, seed)

    def step(self, ts: datetime) -> int:
        """The number of steps that are complete at `ts`."""
        return (ts - self.begin) // STEP

    def before(self, step: int, steps: int) -> Floats:
        """The `steps` steps before `step` [servers, steps, 14]."""
        return self.values[:, step - steps : step]

    def cause(self, incident: Incident) -> str | None:
        """The server whose failure caused an incident."""
        servers = {each.incident_id: each.server for each in self.incidents}
        return servers.get(incident.caused_by or "")

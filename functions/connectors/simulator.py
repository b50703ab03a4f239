"""The simulator: a fleet that plays the scenarios, for demonstrations and tests."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every
from functions.engine.window import Window
from functions.simulator.incidents import incidents, truth_rows
from functions.simulator.simulated_fleet import SimulatedServer, make_fleet
from functions.simulator.simulated_series import simulate
from storage.config.settings import SimulatorSettings
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table

LIVE_STEP_S = 5
HISTORY_STEP_S = 60
# Gaps longer than this are filled at the coarser step.
LIVE_GAP_S = 3600
# One segment holds at most this many rows; the next run goes on where it ends.
MAX_ROWS = 250_000

Timeline = Sequence[tuple[datetime, str]]


@function(
    on=every("5s"), writes=("metrics", "server_facts", "truth"),
    deadline="2m", memory_mb=1024,  # its first run plays days
)  # fmt: skip
def simulator(
    window: Window, now: datetime, cursor: str | None, settings: SimulatorSettings
) -> Batch:
    """What the simulated fleet measured since the last run; at first its whole history."""
    fleet = make_fleet(settings.servers, settings.seed)
    since = int(cursor) if cursor else int((now - settings.history).timestamp())
    moments = live_moments(since, int(now.timestamp()), len(fleet))
    if not moments.size:
        return Batch()
    played = window.sql("SELECT ts, scenario FROM scenarios ORDER BY ts").to_pylist()
    timeline = [(row["ts"].astimezone(UTC), row["scenario"]) for row in played]
    rows = {
        "metrics": _samples(fleet, moments, timeline, settings.seed),
        "truth": _truth(fleet, since, int(moments[-1]), timeline, settings.seed, cursor is None),
    }
    if cursor is None:
        rows["server_facts"] = _facts(fleet, datetime.fromtimestamp(since, UTC))
    return Batch(rows, cursor=str(moments[-1]))


def live_moments(since: int, until: int, servers: int) -> npt.NDArray[np.int64]:
    """The times to play, epoch seconds after `since`: coarse over a long gap, else every 5 s."""
    step = HISTORY_STEP_S if until - since > LIVE_GAP_S else LIVE_STEP_S
    first = (since // step + 1) * step
    return np.arange(first, until + 1, step, dtype=np.int64)[: max(1, MAX_ROWS // servers)]


def _samples(
    fleet: Sequence[SimulatedServer],
    moments: npt.NDArray[np.int64],
    timeline: Timeline,
    seed: int,
) -> pa.Table:
    values = simulate(fleet, moments, timeline, seed)  # [servers, moments, metrics]
    flat = values.transpose(2, 1, 0).reshape(len(METRIC_NAMES), -1)
    count = flat.shape[1]
    columns = {
        "server": np.tile(np.array([s.name for s in fleet], dtype=object), len(moments)),
        "ts": pa.array(np.repeat(moments, len(fleet)) * 1_000_000, pa.timestamp("us", "UTC")),
        **dict(zip(METRIC_NAMES, flat, strict=True)),
        "source": ["simulator"] * count,
    }
    return pa.table(columns, schema=table("metrics").arrow)


def _truth(
    fleet: Sequence[SimulatedServer],
    since: int,
    until: int,
    timeline: Timeline,
    seed: int,
    whole: bool,
) -> pa.Table:
    """What starts after `since`, up to `until`; of the `whole` also what was under way before."""
    start, stop = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until + 1, UTC)
    found = incidents(fleet, timeline, start, stop, seed)
    return truth_rows([i for i in found if whole or i.starts_at > start])


def _facts(fleet: Sequence[SimulatedServer], since: datetime) -> pa.Table:
    rows = [
        {"server": s.name, "ts": since, "profile": s.profile, "site": s.site, "cores": s.cores}
        for s in fleet
    ]
    return pa.Table.from_pylist(rows, table("server_facts").arrow)

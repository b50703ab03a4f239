"""Simulator source: samples of a simulated fleet, for demonstrations and tests."""

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
# A longer gap is filled at the history step.
LIVE_GAP_S = 3600
# Rows in one segment; the next run continues where it ends.
MAX_ROWS = 250_000

Timeline = Sequence[tuple[datetime, str]]


@function(
    on=every("5s"), writes=("metrics", "server_facts", "truth"),
    deadline="2m", memory_mb=1024,  # its first run simulates days
)  # fmt: skip
def simulator(
    window: Window, now: datetime, cursor: str | None, settings: SimulatorSettings
) -> Batch:
    """Return the fleet's samples since the last run; the first run returns its whole history."""
    fleet = make_fleet(settings.servers, settings.seed)
    since = int(cursor) if cursor else int((now - settings.history).timestamp())
    times = sample_times(since, int(now.timestamp()), len(fleet))
    if not times.size:
        return Batch()
    switches = window.sql("SELECT ts, scenario FROM scenarios ORDER BY ts").to_pylist()
    timeline = [(row["ts"].astimezone(UTC), row["scenario"]) for row in switches]
    rows = {
        "metrics": _samples(fleet, times, timeline, settings.seed),
        "truth": _truth(fleet, since, int(times[-1]), timeline, settings.seed, cursor is None),
    }
    if cursor is None:
        rows["server_facts"] = _facts(fleet, datetime.fromtimestamp(since, UTC))
    return Batch(rows, cursor=str(times[-1]))


def sample_times(since: int, until: int, servers: int) -> npt.NDArray[np.int64]:
    """Return the sample times after `since` up to `until`, in epoch seconds, ascending.

    They are 60 s apart over a gap of more than an hour, else 5 s; at most MAX_ROWS samples.
    """
    step = HISTORY_STEP_S if until - since > LIVE_GAP_S else LIVE_STEP_S
    first = (since // step + 1) * step
    return np.arange(first, until + 1, step, dtype=np.int64)[: max(1, MAX_ROWS // servers)]


def _samples(
    fleet: Sequence[SimulatedServer],
    times: npt.NDArray[np.int64],
    timeline: Timeline,
    seed: int,
) -> pa.Table:
    values = simulate(fleet, times, timeline, seed)  # [servers, times, metrics]
    flat = values.transpose(2, 1, 0).reshape(len(METRIC_NAMES), -1)
    count = flat.shape[1]
    columns = {
        "server": np.tile(np.array([s.name for s in fleet], dtype=object), len(times)),
        "ts": pa.array(np.repeat(times, len(fleet)) * 1_000_000, pa.timestamp("us", "UTC")),
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
    """The incidents that start after `since`, up to `until`.

    `whole` adds those that had started before, for the first run.
    """
    start, stop = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until + 1, UTC)
    overlapping = incidents(fleet, timeline, start, stop, seed)
    return truth_rows([i for i in overlapping if whole or i.starts_at > start])


def _facts(fleet: Sequence[SimulatedServer], since: datetime) -> pa.Table:
    rows = [
        {"server": s.name, "ts": since, "profile": s.profile, "site": s.site, "cores": s.cores}
        for s in fleet
    ]
    return pa.Table.from_pylist(rows, table("server_facts").arrow)

"""Training: decide when the model is trained, and say why it waits; the process `trainer` trains.

A training is one id in the table `trainings`, from the row that makes it due to its end.
"""

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rules.drift.training_due import HIGH_FOR, Check, Training, decide
from storage.config.loop_settings import TrainingSettings
from storage.model.schema import table

NEXT_HOURS = 24
# Of the 8 h ahead each hour has 12 steps of the newest forecasts; later ones are as the day before.
_FORECAST_CPU = """
SELECT CAST(floor(date_diff('minute', $now, ts) / 60) AS INTEGER) AS hour, avg(p50) AS cpu
FROM forecast_points
WHERE metric = 'cpu_user_pct' AND issued_at > $now - INTERVAL 15 MINUTE AND issued_at <= $now
AND ts >= $now AND p50 IS NOT NULL
GROUP BY hour
"""
_CPU_OF_YESTERDAY = """
SELECT CAST(floor(date_diff('minute', $now - INTERVAL 24 HOUR, ts) / 60) AS INTEGER) AS hour,
avg(cpu_user_pct_mean) AS cpu
FROM metrics_5m
WHERE ts >= $now - INTERVAL 24 HOUR AND ts < $now
GROUP BY hour
"""
_CHECKS = """
SELECT ts, drifting FROM drift
WHERE scope = 'fleet' AND ts > $since AND ts <= $now AND drifting IS NOT NULL ORDER BY ts
"""
_TRAININGS = """
SELECT training, arg_max(cause, ts) AS cause, min(ts) AS since,
min(ts) FILTER (event = 'started') AS started,
arg_max(event, ts) AS event, arg_max(reason, ts) AS reason
FROM trainings WHERE ts <= $now AND NOT ends_with(training, '-history')
GROUP BY training ORDER BY since
"""
# Without a training it counts from the first time that a model served here.
_SERVES_SINCE = "SELECT min(ts) AS ts FROM models WHERE event = 'serving' AND ts <= $now"


@function(on=(rows("drift"), rows("trainings"), every("10m")), writes="trainings")
def training(window: Window, settings: TrainingSettings) -> Batch:
    """Decide whether the model is to be trained now, and record each change of that decision."""
    checks = window.sql(_CHECKS, since=window.now - HIGH_FOR, now=window.now).to_pylist()
    known = window.sql(_TRAININGS, now=window.now).to_pylist()
    serves_since = window.sql(_SERVES_SINCE, now=window.now)["ts"][0].as_py()
    decision = decide(
        window.now,
        [Check(row["ts"], row["drifting"]) for row in checks],
        [Training(**row) for row in known],
        serves_since,
        partial(_cpu, window),
        settings.automatic,
    )
    if decision is None:
        return Batch()
    row = {
        "training": decision.training, "ts": window.now, "event": decision.event,
        "cause": decision.cause, "reason": decision.reason,
    }  # fmt: skip
    return Batch({"trainings": pa.Table.from_pylist([row], table("trainings").arrow)})


def _cpu(window: Window) -> npt.NDArray[np.float64]:
    """Return the fleet's mean CPU in each of the next 24 hours [%], as predicted or as yesterday.

    An hour is that from now on, not one of the clock. NaN where nothing is known.
    """
    cpu = np.full(NEXT_HOURS, np.nan)
    for query in (_CPU_OF_YESTERDAY, _FORECAST_CPU):
        for row in window.sql(query, now=window.now).to_pylist():
            if 0 <= row["hour"] < NEXT_HOURS and row["cpu"] is not None:
                cpu[row["hour"]] = row["cpu"]
    return cpu

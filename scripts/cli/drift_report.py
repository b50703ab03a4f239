"""`hoursight drift`: whether forecasts have become worse, and what the next training waits for."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.cli.output import format_time, print_grid
from scripts.cli.training_log import request_training as write_request
from storage.config.folders import Folders
from storage.query.reader import Reader

__all__ = ["request_training", "show_drift"]

Say = Callable[..., Any]
Row = dict[str, Any]

_FLEET = """
SELECT * FROM drift WHERE scope = 'fleet' AND ts <= $now ORDER BY ts DESC LIMIT 1
"""
_NAMED = """
SELECT scope, name, drifting, log_loss_ratio, distribution_shift, why FROM drift
WHERE ts = $ts AND scope != 'fleet' AND (drifting OR scope = 'profile' OR why IS NOT NULL)
ORDER BY scope, drifting DESC, log_loss_ratio DESC NULLS LAST LIMIT 20
"""
_TRAININGS = """
SELECT training, ts, event, progress, reason FROM trainings
WHERE event != 'progress' OR ts > $now - INTERVAL 1 DAY
QUALIFY row_number() OVER (PARTITION BY training ORDER BY ts DESC) = 1
ORDER BY ts DESC LIMIT 5
"""
# Name, column, limit: what is shown and does not decide.
_SHOWN = (
    ("prediction error (PER)", "prediction_error", 0.10),
    ("distribution shift (DSS)", "distribution_shift", 0.20),
    ("feature drift (FDS)", "feature_drift", 0.15),
    ("anomaly rate", "anomaly_rate", 0.05),
    ("combined", "combined", 0.10),
)


def show_drift(data: Path, say: Say) -> None:
    """Print the newest check of the fleet, what stands out, and the newest trainings."""
    reader = Reader.open(data)
    try:
        now = datetime.now(UTC)
        fleet = reader.query(_FLEET, now=now).to_pylist()
        named = reader.query(_NAMED, ts=fleet[0]["ts"]).to_pylist() if fleet else []
        trainings = reader.query(_TRAININGS, now=now).to_pylist()
    finally:
        reader.close()
    if not fleet:
        say("No check yet: the first comes with the first hour of scores.")
    else:
        _show_fleet(fleet[0], say)
    if named:
        print_grid(["scope", "name", "state", "what stands out"], [_named(row) for row in named])
    if not trainings:
        say("No training yet: one is due when the loss stays high for 72 h, after 30 days, or when")
        say("you request it: hoursight train --request")
        return
    print_grid(["training", "since", "state", "why"], [_training(row) for row in trainings])


def request_training(data: Path, say: Say) -> None:
    """Request a training of the running system."""
    training = write_request(Folders.at(data).create())
    say(f"{training} is requested: the trainer of the running system takes it up within minutes.")
    say("How far it is: hoursight drift")


def _show_fleet(fleet: Row, say: Say) -> None:
    state = "Drift" if fleet["drifting"] else "No drift"
    say(f"{state} at {_when(fleet['ts'])}: {fleet['why']}.")
    if fleet["over_limit"]:
        say(f"{fleet['over_limit']} checks in a row are over the limit; 3 are a drift.")
    shown = [(name, fleet[column], limit) for name, column, limit in _SHOWN]
    say("Shown, and never deciding:")
    for name, value, limit in shown:
        text = "not known" if value is None else f"{value:.3f}"
        say(f"  {name:25} {text:>9}  (limit {limit:g})")


def _named(row: Row) -> list[Any]:
    state = "drift" if row["drifting"] else ""
    return [row["scope"], row["name"], state, row["why"] or ""]


def _training(row: Row) -> list[Any]:
    share = row["progress"]
    event = row["event"] if not share else f"{row['event']}, {share:.0%}"
    return [row["training"], _when(row["ts"]), event, row["reason"] or ""]


def _when(ts: datetime) -> str:
    return format_time(ts)

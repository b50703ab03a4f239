"""Rows of scores, drift, odds and models for the tests of the pages on trust."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.web.site_lakes import SiteLakeWriter

HOUR = timedelta(hours=1)
MODEL = "m1"


def score(server: str, metric: str, ts: datetime, **fields: Any) -> dict[str, Any]:
    """Return an hour of scores: 80 of 100 targets in the band, the loss half of the naive one."""
    whole = {
        "targets": 100, "moving": 100, "abstained": 5, "shadow": 0, "within_10": 86,
        "inside_50": 50, "inside_80": 80, "inside_96": 96,
        "inside_50_model": 45, "inside_80_model": 70, "inside_96_model": 90,
    }  # fmt: skip
    losses = dict.fromkeys(("loss", "loss_model", "error"), 50.0)
    naive = dict.fromkeys(("error_naive", "error_seasonal"), 100.0)
    key = {"server": server, "metric": metric, "bucket": 60, "ts": ts, "model": MODEL}
    return key | whole | losses | naive | fields


def insert_trust(lake: SiteLakeWriter, now: datetime | None = None) -> None:
    """Insert three days of scores of two servers, and a row or two of everything else."""
    now = now or datetime.now(UTC)
    hours = [now.replace(minute=0, second=0, microsecond=0) - n * HOUR for n in range(2, 74, 4)]
    lake.insert("scores", [
        score(server, metric, ts)
        for server in ("a", "b") for metric in ("mem_used_pct", "load_average") for ts in hours
    ])  # fmt: skip
    check = {"scope": "fleet", "name": "fleet", "drifting": False, "over_limit": 0}
    parts = dict.fromkeys(("prediction_error", "feature_drift", "anomaly_rate", "combined"), 0.02)
    lake.insert("drift", [
        check | parts | {"ts": now - n * HOUR, "log_loss_ratio": 0.01 * n, "lower_bound": -0.1,
                         "distribution_shift": 0.25, "why": "no more <b>than usual</b>"}
        for n in (3, 2, 1)
    ])  # fmt: skip
    bins = {"said": [0.1, 0.6], "came": [0.12, 0.5], "came_low": [0.05, 0.3],
            "came_high": [0.2, 0.8], "bin_blocks": [40.0, 9.0]}  # fmt: skip
    fit = {"ts": now, "kind": "calibration", "metric_group": "all", "events": 41, "cases": 900,
           "serves": True, "brier": 0.01, "brier_other": 0.02, "ece": 0.01}  # fmt: skip
    lake.insert("odds_models", [fit | bins | {"lead_minutes": lead} for lead in (60, 480)])
    lake.insert("models", [
        {"model": "m0", "ts": now - 50 * HOUR, "event": "serving", "path": "shipped"},
        {"model": MODEL, "ts": now - 40 * HOUR, "event": "promoted", "path": "x/own.onnx",
         "detail": "by alice: calm <b>nights</b>"},
        {"model": MODEL, "ts": now - 40 * HOUR, "event": "serving", "path": "x/own.onnx"},
    ])  # fmt: skip
    lake.insert("trainings", [
        {"training": "t1", "ts": now - HOUR, "event": "progress", "cause": "loss",
         "progress": 0.4, "reason": "it drifts"},
    ])  # fmt: skip

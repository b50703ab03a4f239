"""A small lake for the site's tests: each server has one property that the pages must show."""

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from storage.config.folders import Folders
from storage.inbox import notify
from storage.lake.attach import attach_writer
from storage.model.grid import (
    CONTEXT_STEPS,
    HORIZON_STEPS,
    LEAD_MINUTES,
    QUANTILE_COLUMNS,
    STEP,
    floor_step,
)
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.model.severity import severity_of

SPREADS = (-2.05, -1.28, -0.67, 0.0, 0.67, 1.28, 2.05)
BASE = {
    "cpu_user_pct": 22.0, "cpu_sys_pct": 6.0, "cpu_iowait_pct": 2.0, "cpu_idle_pct": 70.0,
    "java_cpu_pct": 12.0, "mem_used_pct": 48.0, "swap_used_pct": 1.5, "disk_usage_pct": 44.0,
    "net_in_mb_s": 35.0, "net_out_mb_s": 48.0, "back_close_wait": 6.0, "front_close_wait": 4.0,
    "load_average": 2.2, "uptime_days": 41.0,
}  # fmt: skip
HOSTILE = "<b>x</b>"


@dataclass(frozen=True)
class LakeServer:
    """The properties of one server."""

    name: str
    profile: str = "generic"
    now_score: float | None = 8.0
    ahead_score: float | None = 6.0
    state: str | None = "ok"
    why: str | None = None
    steps: int = CONTEXT_STEPS
    age: timedelta = timedelta(seconds=3)
    odds: tuple[float, ...] = (0.0, 0.0, 0.01, 0.02, 0.03)
    breach: tuple[str, int, int, int] | None = None
    climbs: Mapping[str, float] | None = None
    gap: tuple[int, int] = (0, 0)
    reasons: tuple[tuple[str, float, str], ...] = ()


FLEET = (
    LakeServer(
        "web-07.shop",
        "web_api",
        74.0,
        93.0,
        odds=(0.22, 0.48, 0.81, 0.94, 0.98),
        breach=("mem_used_pct", 50, 130, 260),
        climbs={"mem_used_pct": 34.0, "swap_used_pct": 6.0},
        reasons=(
            ("mem_used_pct", 48.0, "Memory used is 82 % and grows by 4.1 % an hour"),
            ("mem_used_pct", 31.0, "Memory used passes 85 % within 8 h in 98 % of cases"),
            ("cpu_iowait_pct", 14.0, "I/O wait doubled within the hour"),
        ),
    ),
    LakeServer(
        "ppdb-orders-1",
        "database",
        52.0,
        66.0,
        odds=(0.0, 0.03, 0.11, 0.34, 0.62),
        breach=("disk_usage_pct", 185, 390, 470),
        climbs={"disk_usage_pct": 46.0},
        reasons=(("disk_usage_pct", 52.0, "Disk used grows by 1.9 % an hour"),),
    ),
    LakeServer("gpu-node-3", "ml_compute", age=timedelta(minutes=20)),
    LakeServer("kafka-2", "data_ingest", 35.0, 22.0, gap=(120, 160)),
    LakeServer("new-box", now_score=10.0, ahead_score=None, state=None, steps=5),
    LakeServer("fresh-box", state="early", steps=13, why="13 of 288 steps"),
    LakeServer(
        "quant-eod", "risk_analytics", 12.0, None, state="abstained", why="half of it is gaps"
    ),
    LakeServer(HOSTILE, reasons=(("load_average", 8.0, "<script>alert(1)</script>"),)),
    LakeServer("nginx-1", "web_api"),
)


@cache
def _empty_lake() -> Path:
    """A data folder with an empty lake, to be copied, which is faster than creating one."""
    data = Path(tempfile.mkdtemp(prefix="hoursight-empty-"))
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    attach_writer(Folders.at(data).create()).close()
    return data


class SiteLakeWriter:
    """Inserts rows into a lake as the writer would, and announces them."""

    def __init__(self, data: Path) -> None:
        if not data.joinpath("catalog.sqlite").exists():
            shutil.copytree(_empty_lake(), data, dirs_exist_ok=True)
        self.folders = Folders.at(data).create()
        self.connection: duckdb.DuckDBPyConnection = attach_writer(self.folders)
        self._filled: set[str] = set()

    def insert(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Commit rows to one table."""
        self._filled.add(name)
        schema = table(name).arrow
        full = [{n: row.get(n) for n in schema.names} for row in rows]
        batch = pa.Table.from_pylist(full, schema=schema)
        self.connection.register("batch", batch)
        self.connection.execute(f"INSERT INTO {name} SELECT * FROM batch")
        self.connection.unregister("batch")
        notify.notify(self.folders, [name])

    def clear(self) -> "SiteLakeWriter":
        """Delete what was inserted."""
        for name in sorted(self._filled):
            self.connection.execute(f"DELETE FROM {name}")
        notify.notify(self.folders, self._filled)
        self._filled.clear()
        return self

    def close(self) -> None:
        """Close the lake."""
        self.connection.close()

    def fleet(
        self, servers: Iterable[LakeServer] = FLEET, now: datetime | None = None
    ) -> "SiteLakeWriter":
        """Insert servers as of `now`."""
        now = now or datetime.now(UTC)
        servers = tuple(servers)
        for name, make in ROWS.items():
            self.insert(name, [row for server in servers for row in make(server, now)])
        return self


def _measured(server: LakeServer, now: datetime) -> dict[str, np.ndarray]:
    """Means of the 288 steps before the current one."""
    draws = np.random.default_rng(sum(map(ord, server.name)))
    day = np.sin(np.linspace(0, 2 * np.pi, CONTEXT_STEPS) + now.hour / 24 * 6.28)
    series = {}
    for metric, base in BASE.items():
        noise = np.convolve(draws.normal(0, 1, CONTEXT_STEPS + 11), np.ones(12) / 12, "valid")
        values = base * (1 + 0.12 * day + 0.25 * noise)
        values += (server.climbs or {}).get(metric, 0.0) * np.linspace(0, 1, CONTEXT_STEPS) ** 2
        series[metric] = np.clip(values, 0, 99) if metric.endswith("pct") else np.maximum(values, 0)
    series["uptime_days"] = 41 + np.arange(CONTEXT_STEPS) / 288
    series["cpu_idle_pct"] = 100 - series["cpu_user_pct"] - series["cpu_sys_pct"] - 2
    return series


def _last_step(server: LakeServer) -> int:
    return CONTEXT_STEPS - int(server.age / STEP)


def facts(server: LakeServer, now: datetime) -> Iterable[dict[str, Any]]:
    """Its facts."""
    since = now - timedelta(days=8)
    yield {
        "server": server.name, "ts": since, "profile": server.profile, "site": "lab", "cores": 8,
        "disk_volume": "/srv/<data>", "net_links": "eno1, eno2",
    }  # fmt: skip


def steps(server: LakeServer, now: datetime) -> Iterable[dict[str, Any]]:
    """Its roll-ups, with the gap it is to have."""
    series, start = _measured(server, now), floor_step(now) - CONTEXT_STEPS * STEP
    last = _last_step(server)
    for i in range(max(0, last - server.steps), last):
        if server.gap[0] <= i < server.gap[1]:
            continue
        values = {
            f"{m}_{kind}": v
            for m in METRIC_NAMES
            for kind, v in (("mean", series[m][i]), ("max", series[m][i] * 1.1), ("count", 60))
        }
        yield {"server": server.name, "ts": start + i * STEP, **values}


def samples(server: LakeServer, now: datetime) -> Iterable[dict[str, Any]]:
    """Its last three raw samples."""
    series, last = _measured(server, now), _last_step(server) - 1
    for back in (10, 5, 0):
        ts = now - server.age - timedelta(seconds=back)
        values = {m: float(series[m][last]) for m in METRIC_NAMES}
        yield {"server": server.name, "ts": ts, **values, "source": "test"}


def forecasts(server: LakeServer, now: datetime) -> Iterable[dict[str, Any]]:
    """Its newest forecast, one row a metric."""
    if server.state is None:
        return
    series, ahead = _measured(server, now), np.arange(1, HORIZON_STEPS + 1)
    for metric in METRIC_NAMES:
        rise = (server.climbs or {}).get(metric, 0.0) * ahead / 200
        middle, width = series[metric][-1] + rise, np.sqrt(ahead) * BASE[metric] * 0.02
        top = 100 if metric.endswith("pct") else np.inf
        lists = {
            column: np.clip(middle + spread * width, 0, top).tolist()
            for column, spread in zip(QUANTILE_COLUMNS, SPREADS, strict=True)
        }
        yield {
            "server": server.name, "metric": metric, "issued_at": floor_step(now), "made_at": now,
            "model": "m1", "state": server.state, "why": server.why,
            "context_steps": server.steps, **(lists if server.state != "abstained" else {}),
        }  # fmt: skip


def risks(server: LakeServer, now: datetime) -> Iterable[dict[str, Any]]:
    """Its newest risk score."""
    if server.now_score is None:
        return
    score = max(server.now_score, server.ahead_score or 0)
    severity = severity_of(score)
    known = server.ahead_score is not None
    row: dict[str, Any] = {
        "server": server.name, "issued_at": now - timedelta(seconds=40),
        "now_score": server.now_score, "ahead_score": server.ahead_score, "score": score,
        "severity": severity.name, "respond_within_minutes": severity.respond_within_minutes,
        "reasons": [{"metric": m, "points": p, "text": t} for m, p, t in server.reasons],
    }  # fmt: skip
    for lead, chance in zip(LEAD_MINUTES, server.odds, strict=True):
        row[f"p_breach_{lead}m"] = chance if known else None
    if server.breach:
        metric, *minutes = server.breach
        row["breach_metric"] = metric
        for name, m in zip(("earliest", "likely", "latest"), minutes, strict=True):
            row[f"breach_{name}"] = now + timedelta(minutes=m)
    yield row


ROWS = {
    "server_facts": facts, "metrics_5m": steps, "metrics": samples, "forecasts": forecasts,
    "risks": risks,
}  # fmt: skip

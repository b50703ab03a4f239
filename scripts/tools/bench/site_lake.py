"""A lake of a large fleet for the benchmark of the site: a day of roll-ups, samples and risks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scripts.tools.bench.fleet_workload import SEED, forecasts, rolled_samples, samples
from storage.config.folders import Folders
from storage.inbox import segment
from storage.lake.writer import Writer
from storage.model.grid import CONTEXT_STEPS, LEAD_MINUTES, STEP, floor_step
from storage.model.profiles import profile_of
from storage.model.schema import table
from storage.model.severity import severity_of

__all__ = ["SiteLake"]

CHUNK_STEPS = 60
SAMPLE_STEPS = 720  # an hour, 5 s apart
RISK_STEPS = 24


class SiteLake:
    """A data folder with `servers` servers as of `now`; writes to it as the writer does."""

    def __init__(self, data: Path, servers: int, now: datetime | None = None) -> None:
        self.folders = Folders.at(data).create()
        self.now = now or datetime.now(UTC)
        self._servers = servers
        self._names: list[str] = []
        self._writer = Writer.open(data)
        self._fill()

    def insert(self, name: str, rows: pa.Table) -> None:
        """Commit rows to one table."""
        provenance = segment.Provenance(table=name, function="bench", created_at=self.now)
        segment.write(self.folders, rows, provenance)
        self._writer.commit_waiting(datetime.now(UTC))

    @property
    def first_server(self) -> str:
        """The name of a server."""
        return self._names[0]

    def commit_samples(self, at: datetime) -> None:
        """Commit one sample of each server, measured at `at`."""
        self.insert("metrics", samples(self._servers, at, 1))

    def close(self) -> None:
        """Close the lake."""
        self._writer.close()

    def _fill(self) -> None:
        issued = floor_step(self.now)
        rolled = rolled_samples(self._servers, issued - CONTEXT_STEPS * STEP)
        self.insert("metrics_5m", rolled)
        first = self.now - SAMPLE_STEPS * timedelta(seconds=5)
        for step in range(0, SAMPLE_STEPS, CHUNK_STEPS):
            start = first + step * timedelta(seconds=5)
            self.insert("metrics", samples(self._servers, start, CHUNK_STEPS))
        names = self._names = rolled["server"].to_pylist()[: self._servers]
        self.insert("server_facts", self._facts(names))
        self.insert("forecasts", forecasts(self._servers, issued))
        for back in range(RISK_STEPS, 0, -1):
            self.insert("risks", self._risks(names, self.now - back * STEP))

    def _facts(self, names: list[str]) -> pa.Table:
        since = self.now - timedelta(days=30)
        rows = [
            {
                "server": name, "ts": since, "profile": profile_of(name),
                "site": f"site-{i % 7}", "cores": 8,
            }
            for i, name in enumerate(names)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=table("server_facts").arrow)

    def _risks(self, names: list[str], at: datetime) -> pa.Table:
        scores = np.random.default_rng(SEED).beta(1, 4, len(names)) * 100
        rows = [self._risk(name, at, float(s)) for name, s in zip(names, scores, strict=True)]
        return pa.Table.from_pylist(rows, schema=table("risks").arrow)

    def _risk(self, name: str, at: datetime, score: float) -> dict[str, Any]:
        severity = severity_of(score)
        likely = at + timedelta(minutes=480 * (1 - score / 100)) if score > 50 else None
        return {
            "server": name, "issued_at": at, "now_score": score / 2, "ahead_score": score,
            "score": score, "severity": severity.name,
            "respond_within_minutes": severity.respond_within_minutes,
            "breach_metric": "mem_used_pct" if likely else None, "breach_earliest": likely,
            "breach_likely": likely,
            "reasons": [{"metric": "mem_used_pct", "points": score, "text": "Memory used grows"}],
            **{f"p_breach_{lead}m": score / 100 * lead / 480 for lead in LEAD_MINUTES},
        }  # fmt: skip

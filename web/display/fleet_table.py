"""The fleet as one table, in its order: worst first by severity, then by time to act.

What commits seldom change (facts, roll-ups, risks, forecasts) is queried when its table changes,
and kept. The newest samples come from the last-value cache. Pages filter and count it in SQL.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.model.severity import LOADING, SEVERITIES, STALE, UNSCORED
from storage.query.arrow_sql import ArrowSql
from storage.query.reader import Reader
from web.display.loading import loading_servers
from web.display.metric_display import INDICATORS
from web.display.server_status import SHOWN_FROM, STALE_SECONDS, Loading
from web.display.tags import Tags, tag_rows
from web.kept_results import KeptResults
from web.lake_session import sql

__all__ = ["FLEET_COLUMNS", "FleetTable", "fleet_table"]

FLEET_COLUMNS = 35  # of the view `fleet_now` and the indicators; the others order the fleet
SINCE_SAMPLE = timedelta(hours=1)
LOADING_SECONDS = CELLS_SECONDS = 10
# The ages of samples move a server to another status this much late, at most.
SHARED_SECONDS = 5
_MEMORY = ArrowSql()
_SEVERITIES = pa.table({
    "slug": [s.slug for s in SEVERITIES], "rank": [s.rank for s in SEVERITIES],
    "respond": pa.array([s.respond_within_minutes for s in SEVERITIES], pa.int32()),
})  # fmt: skip
# Query, its table, how far back all but a few servers have rows, and how far back the others.
_PARTS = (
    ("fleet_steps", "metrics_5m", timedelta(hours=25), timedelta(days=8)),
    ("fleet_risks", "risks", timedelta(minutes=20), timedelta(days=8)),
    ("fleet_forecasts", "forecasts", timedelta(minutes=40), timedelta(days=1)),
)


class FleetTable:
    """The fleet as of a time; `rows` are in its order, `loading` is the progress by server."""

    def __init__(self, rows: pa.Table, loading: Mapping[str, Loading]) -> None:
        self.rows = rows
        self.loading = loading

    def query(
        self, name: str, more: Mapping[str, pa.Table] | None = None, /, **parameters: Any
    ) -> pa.Table:
        """Return the result of `web/sql/NAME.sql` over the table `fleet`, and `more` tables."""
        return _MEMORY.query(sql(name), {"fleet": self.rows, **(more or {})}, **parameters)


_TABLES = (
    "metrics", "metrics_5m", "risks", "forecasts", "server_facts", "alert_events", "sources",
)  # fmt: skip


def fleet_table(
    reader: Reader, kept: KeptResults, now: datetime, tags: Tags, model_refused: bool
) -> FleetTable:
    """Return the fleet in the snapshot of `reader` as of `now`."""
    every = int(now.timestamp()) // SHARED_SECONDS
    return kept.read(
        reader, "fleet", _TABLES, now,
        lambda: _fleet_table(reader, kept, now, tags, model_refused),
        (every, tags.key, model_refused),
    )  # fmt: skip


def _fleet_table(
    reader: Reader, kept: KeptResults, now: datetime, tags: Tags, model_refused: bool
) -> FleetTable:
    read = partial(_part, reader, kept, now)
    servers = kept.read(
        reader, "fleet_servers", ["server_facts"], now,
        lambda: reader.query(sql("fleet_servers"), now=now),
    )  # fmt: skip
    names = servers["server"]
    steps, risks, forecasts = (read(names, *part) for part in _PARTS)
    live = reader.latest(now - SINCE_SAMPLE, now)
    loading = _loading(reader, kept, live, names, now)
    tables = {
        "servers": servers, "steps": steps, "risks": risks, "forecasts": forecasts, "live": live,
        "cells": _cells(reader, kept, live, now), "severities": _SEVERITIES,
        "tags": kept.read(
            reader, "fleet_tags", ["server_facts"], now, lambda: tag_rows(names, tags), tags.key
        ),
        "episodes": kept.read(
            reader, "fleet_episodes", ["alert_events"], now,
            lambda: reader.query(sql("fleet_episodes"), now=now), now.minute,
        ),
    }  # fmt: skip
    rows = _MEMORY.query(
        sql("memory_fleet"), tables, now=now, stale_s=STALE_SECONDS, loading=list(loading),
        refused=model_refused, likely=SHOWN_FROM, loading_rank=LOADING.rank,
        silent_rank=STALE.rank, unscored_rank=UNSCORED.rank,
    )  # fmt: skip
    return FleetTable(rows, loading)


def _part(
    reader: Reader, kept: KeptResults, now: datetime, servers: pa.ChunkedArray, name: str,
    table: str, recent: timedelta, older: timedelta,
) -> pa.Table:  # fmt: skip
    """The rows of a query: those since `recent`, and of other servers those since `older`."""
    rows = kept.read(
        reader, name, [table], now,
        lambda: reader.query(sql(name), now=now, since=now - recent),
    )  # fmt: skip
    missing = servers.filter(pc.invert(pc.is_in(servers, rows["server"])))
    if not len(missing):
        return rows
    # A server without recent rows has new ones first among the recent, so these stay for a step.
    rest = kept.read(
        reader, f"{name}_older", [], now,
        lambda: reader.query(sql(name), now=now, since=now - older),
        tuple(missing.to_pylist()),
    )  # fmt: skip
    return pa.concat_tables([rows, rest.filter(pc.is_in(rest["server"], missing))])


def _cells(reader: Reader, kept: KeptResults, live: pa.Table, now: datetime) -> pa.Table:
    """The newest values of indicators, where the newest sample of a server lacks one."""
    names = [indicator.name for indicator in INDICATORS]
    if not any(live[name].null_count for name in names):
        return live.select(["server", *names]).slice(0, 0)
    every = int(now.timestamp()) // CELLS_SECONDS
    return kept.read(
        reader, "fleet_cells", [], now, lambda: reader.query(sql("fleet_cells"), now=now), every
    )


def _loading(
    reader: Reader, kept: KeptResults, live: pa.Table, servers: pa.ChunkedArray, now: datetime
) -> Mapping[str, Loading]:
    """The progress of servers whose history is being loaded, if any lacks a present sample."""
    since = pa.scalar(now - timedelta(seconds=STALE_SECONDS), live["ts"].type)
    present = live["server"].filter(pc.greater_equal(live["ts"], since))
    if pc.all(pc.is_in(servers, present)).as_py() is not False:
        return {}
    every = int(now.timestamp()) // LOADING_SECONDS
    return kept.read(
        reader, "fleet_loading", ["sources"], now, lambda: loading_servers(reader, now), every
    )

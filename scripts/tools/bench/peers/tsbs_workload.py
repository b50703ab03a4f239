"""A TSBS-style workload: CPU readings of many hosts, and queries over them.

The generator and the queries are our own, modelled on the Time Series Benchmark Suite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

__all__ = ["FIELDS", "QUERIES", "STEP_S", "Span", "TsbsQuery", "readings"]

FIELDS = tuple(
    f"usage_{part}"
    for part in (
        "user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"
    )
)  # fmt: skip
STEP_S = 10
SEED = 3


@dataclass(frozen=True, slots=True)
class Span:
    """A time span; its end is exclusive."""

    since: datetime
    until: datetime

    def last(self, hours: float) -> "Span":
        """Return the last hours of the span."""
        return Span(max(self.since, self.until - timedelta(hours=hours)), self.until)


@dataclass(frozen=True, slots=True)
class TsbsQuery:
    """One query over the last `hours`, in SQL and in PromQL.

    The SQL names `{table}`, `{since}` and `{until}`; PromQL is evaluated at the end of each step of
    `step_s`, or once at the end where that is None.
    """

    name: str
    hours: float
    sql: str
    promql: str
    step_s: int | None


def readings(hosts: int, hours: float) -> tuple[pa.Table, Span]:
    """Return ten random walks a host in whole percents from 0 to 100, by time and host."""
    steps = int(hours * 3600) // STEP_S
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    span = Span(until - timedelta(seconds=steps * STEP_S), until)
    rng = np.random.default_rng(SEED)
    walk = rng.uniform(0, 100, (hosts, len(FIELDS)))
    values = np.empty((steps, hosts, len(FIELDS)), np.float32)
    for step in range(steps):
        walk = np.clip(walk + rng.normal(size=walk.shape), 0, 100)
        values[step] = np.floor(walk)
    first = int(span.since.timestamp())
    timestamps = (first + STEP_S * np.arange(steps, dtype=np.int64)) * 1_000_000
    names = np.array([f"host_{i}" for i in range(hosts)], object)
    columns = {
        "server": pa.array(np.tile(names, steps), pa.string()),
        "ts": pa.array(np.repeat(timestamps, hosts), pa.timestamp("us", "UTC")),
    }
    flat = values.reshape(-1, len(FIELDS))
    return pa.table(columns | {f: flat[:, i] for i, f in enumerate(FIELDS)}), span


def _largest(fields: Sequence[str]) -> str:
    return ", ".join(f"max({f}) AS {f}" for f in fields)


WITHIN = "FROM {table} WHERE ts >= {since} AND ts < {until}"
EIGHT = tuple(f"host_{i}" for i in range(8))
EIGHT_SQL = "server IN (" + ", ".join(f"'{name}'" for name in EIGHT) + ")"
FIVE_PROMQL = "|".join(FIELDS[:5])
EIGHT_PROMQL = f'server=~"{"|".join(EIGHT)}"'

NEWEST = ", ".join(f"{{last}}({f}, ts) AS {f}" for f in FIELDS)

QUERIES = (
    TsbsQuery(
        "single-groupby-1-1-1", 1,
        f"SELECT date_trunc('minute', ts) AS bucket, max(usage_user) AS usage_user {WITHIN} "
        "AND server = 'host_0' GROUP BY bucket ORDER BY bucket",
        'max_over_time(cpu{field="usage_user",server="host_0"}[1m])', 60,
    ),
    TsbsQuery(
        "single-groupby-5-8-1", 1,
        f"SELECT date_trunc('minute', ts) AS bucket, {_largest(FIELDS[:5])} {WITHIN} "
        f"AND {EIGHT_SQL} GROUP BY bucket ORDER BY bucket",
        f'max by (field) (max_over_time(cpu{{field=~"{FIVE_PROMQL}",{EIGHT_PROMQL}}}[1m]))',
        60,
    ),
    TsbsQuery(
        "double-groupby-1", 12,
        f"SELECT date_trunc('hour', ts) AS bucket, server, avg(usage_user) AS usage_user {WITHIN} "
        "GROUP BY bucket, server ORDER BY bucket, server",
        'avg_over_time(cpu{field="usage_user"}[1h])', 3600,
    ),
    TsbsQuery(
        "double-groupby-all", 12,
        f"SELECT date_trunc('hour', ts) AS bucket, server, "
        f"{', '.join(f'avg({f}) AS {f}' for f in FIELDS)} {WITHIN} "
        "GROUP BY bucket, server ORDER BY bucket, server",
        "avg_over_time(cpu[1h])", 3600,
    ),
    TsbsQuery(
        "high-cpu-all", 12,
        f"SELECT ts, server, usage_user {WITHIN} AND usage_user > 90",
        'cpu{field="usage_user"} > 90', STEP_S,
    ),
    TsbsQuery(
        "cpu-max-all-8", 8,
        f"SELECT date_trunc('hour', ts) AS bucket, {_largest(FIELDS)} {WITHIN} "
        f"AND {EIGHT_SQL} GROUP BY bucket ORDER BY bucket",
        f"max by (field) (max_over_time(cpu{{{EIGHT_PROMQL}}}[1h]))", 3600,
    ),
    TsbsQuery(
        "lastpoint", 12,
        f"SELECT server, max(ts) AS newest, {NEWEST} {WITHIN} GROUP BY server",
        "last_over_time(cpu[12h])", None,
    ),
    TsbsQuery(
        "groupby-orderby-limit", 12,
        f"SELECT date_trunc('minute', ts) AS bucket, max(usage_user) AS usage_user {WITHIN} "
        "GROUP BY bucket ORDER BY bucket DESC LIMIT 5",
        'max(max_over_time(cpu{field="usage_user"}[1m]))', 60,
    ),
)  # fmt: skip

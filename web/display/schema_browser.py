"""What the SQL page shows beside a query: views and tables with their columns, and examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from storage.model.schema import Column, Schema, sql_type
from storage.model.views import VIEWS

__all__ = ["EXAMPLES", "Example", "Relation", "relations"]


@dataclass(frozen=True, slots=True)
class Relation:
    """A view or table: its kind, what it holds, and name, type and meaning of its columns."""

    name: str
    kind: str
    purpose: str
    columns: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the query that answers it."""

    question: str
    sql: str

    @property
    def link(self) -> str:
        """Path and query of the SQL page with it."""
        return f"/sql?{urlencode({'q': self.sql})}"


def relations(schema: Schema) -> Sequence[Relation]:
    """Return all views, then all tables."""
    views = [Relation(v.name, "view", v.purpose, _columns(v.columns)) for v in VIEWS]
    tables = [Relation(t.name, "table", t.purpose, _columns(t.columns)) for t in schema.tables]
    return views + tables


def _columns(columns: tuple[Column, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple((c.name, sql_type(c.type), c.meaning) for c in columns)


EXAMPLES = (
    Example(
        "Which servers are worst now?",
        "SELECT server, severity, score, breach_metric, breach_likely\n"
        "FROM fleet_now\nORDER BY score DESC NULLS LAST\nLIMIT 20",
    ),
    Example(
        "How did memory go on each server in the last 6 hours?",
        "SELECT ts, server, mem_used_pct_mean\nFROM metrics_5m\n"
        "WHERE ts > now() - INTERVAL 6 HOURS\nORDER BY ts, server",
    ),
    Example(
        "What is forecast for the disk of the fullest server?",
        "SELECT ts, p10, p50, p90\nFROM forecast_points\n"
        "WHERE metric = 'disk_usage_pct' AND (server, issued_at) = (\n"
        "    SELECT (server, max(issued_at)) FROM forecast_points\n"
        "    WHERE metric = 'disk_usage_pct' GROUP BY server ORDER BY max(p50) DESC LIMIT 1)\n"
        "ORDER BY ts",
    ),
    Example(
        "Which warnings were right?",
        "SELECT rule, warnings, correct, wrong, missed, precision, recall\nFROM alert_quality",
    ),
    Example(
        "How much does each source send?",
        "SELECT source, count(*) AS samples, max(ts) AS newest\nFROM metrics\n"
        "WHERE ts > now() - INTERVAL 1 HOUR\nGROUP BY source\nORDER BY samples DESC",
    ),
    Example(
        "What changed in the lake lately?",
        "SELECT snapshot_id, snapshot_time, changes\nFROM ducklake_snapshots('lake')\n"
        "ORDER BY snapshot_id DESC\nLIMIT 20",
    ),
)

"""Message context: what the lake knows about new events, read for many of them at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from functions.delivery.message import Companion, Message
from functions.engine.window import Window
from storage.model.metrics import Metric
from storage.model.next_steps import NEXT_STEPS, STALE_STEP

__all__ = ["MessageContext", "read_context"]

USUAL_OVER = timedelta(days=14)
AROUND_S = 1800
LEAST_DAYS = 3
ODDS_OVER = timedelta(hours=2)
RECORD_OVER = timedelta(days=30)

_CHECKED = """
SELECT server, metric, arg_max(checked, issued_at) AS checked FROM odds
WHERE issued_at > $since AND issued_at <= $now AND list_contains($servers, server)
GROUP BY server, metric
"""
_RECORD = """
WITH episodes AS (
    SELECT episode, arg_max(rule, ts) AS rule, arg_max(phase, ts) AS phase,
           bool_or(phase = 'predicted') AS warned, max(breached_at) IS NOT NULL AS breached
    FROM alert_events WHERE ts > $since AND ts <= $now GROUP BY episode
)
SELECT rule, count(*) FILTER (warned AND breached) AS came,
       count(*) FILTER (warned AND NOT breached AND phase = 'withdrawn') AS withdrawn,
       count(*) FILTER (warned AND NOT breached AND phase = 'averted') AS averted
FROM episodes WHERE rule IS NOT NULL GROUP BY rule
"""
_CAUSES = """
SELECT episode, arg_max(server, ts) AS server, arg_max(metric, ts) AS metric FROM alert_events
WHERE list_contains($episodes, episode) GROUP BY episode
"""


@dataclass(frozen=True, slots=True)
class MessageContext:
    """What messages say beside their event; `usual` and `checked` are by server and metric."""

    metrics: Mapping[str, Metric]
    usual: Mapping[tuple[str, str], float]
    checked: Mapping[tuple[str, str], bool]
    trust: Mapping[str, str]
    causes: Mapping[str, str]
    public_url: str

    def message(self, row: Mapping[str, Any]) -> Message:
        """Return the message of a row of `alert_events`, without its one-time link."""
        metric = self.metrics.get(row["metric"] or "")
        about = (row["server"] or "", row["metric"] or "")
        no_data = row["phase"] == "no data"
        return Message(
            **{name: row[name] for name in _SAME},
            limit=row["threshold"], odds=row["p"], reasons=tuple(row["reasons"] or ()),
            label=metric.label if metric else None, unit=metric.unit if metric else "",
            usual=self.usual.get(about), checked=self.checked.get(about),
            caused_by=self.causes.get(row["caused_by"] or ""),
            trust=self.trust.get(row["rule"] or ""),
            next_step=STALE_STEP if no_data else NEXT_STEPS.get(about[1]),
            url=self._url(row["server"], row["ts"]),
        )  # fmt: skip

    def companion(self, row: Mapping[str, Any]) -> Companion:
        """Return the line of a row of `alert_events` in the message of its group."""
        metric = self.metrics.get(row["metric"] or "")
        same = ("episode", "phase", "severity", "server", "metric", "value", "likely")
        return Companion(
            **{name: row[name] for name in (*same, "breached_at")},
            what=metric.label if metric else None, unit=metric.unit if metric else "",
            url=self._url(row["server"], row["ts"]),
        )  # fmt: skip

    def _url(self, server: str | None, ts: datetime) -> str | None:
        if not (self.public_url and server):
            return None
        base = self.public_url.rstrip("/")
        return f"{base}/servers/{quote(server, safe='')}?at={quote(ts.isoformat(), safe='')}"


_SAME = (
    "episode", "ts", "phase", "event", "severity", "rule", "server", "profile", "site", "metric",
    "value", "lead_minutes", "earliest", "likely", "latest", "breached_at", "closes_at", "why",
    "made_by",
)  # fmt: skip


def read_context(
    window: Window, rows: Sequence[Mapping[str, Any]], metrics: Iterable[Metric], public_url: str
) -> MessageContext:
    """Return the context of rows of `alert_events`."""
    known = {metric.name: metric for metric in metrics}
    servers = sorted({row["server"] for row in rows if row["server"]})
    names = sorted({row["metric"] for row in rows if row["metric"] in known})
    causes = sorted({row["caused_by"] for row in rows if row["caused_by"]})
    return MessageContext(
        known, _usual(window, servers, names), _checked(window, servers), _trust(window),
        _causes(window, causes, known), public_url,
    )  # fmt: skip


def _usual(
    window: Window, servers: Sequence[str], metrics: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Return the median of each metric within half an hour of this time of the day."""
    if not (servers and metrics):
        return {}
    columns = ", ".join(
        f"median({name}_mean) AS {name}, "
        f"count(DISTINCT date_trunc('day', ts)) FILTER ({name}_mean IS NOT NULL) AS {name}_days"
        for name in metrics
    )
    rows = window.sql(
        f"SELECT server, {columns} FROM metrics_5m WHERE ts > $since "
        "AND ts < $now - INTERVAL 12 HOUR AND list_contains($servers, server) "
        "AND abs((epoch($now) - epoch(ts) + 43200) % 86400 - 43200) <= $around GROUP BY server",
        since=window.now - USUAL_OVER, now=window.now, servers=list(servers), around=AROUND_S,
    ).to_pylist()  # fmt: skip
    return {
        (row["server"], name): row[name]
        for row in rows for name in metrics
        if row[name] is not None and row[f"{name}_days"] >= LEAST_DAYS
    }  # fmt: skip


def _checked(window: Window, servers: Sequence[str]) -> dict[tuple[str, str], bool]:
    if not servers:
        return {}
    rows = window.sql(
        _CHECKED, since=window.now - ODDS_OVER, now=window.now, servers=list(servers)
    ).to_pylist()
    return {(r["server"], r["metric"]): r["checked"] for r in rows if r["checked"] is not None}


def _trust(window: Window) -> dict[str, str]:
    """Return how often the warnings of each rule came true; none for a rule without a record."""
    rows = window.sql(_RECORD, since=window.now - RECORD_OVER, now=window.now).to_pylist()
    return {row["rule"]: text for row in rows if (text := _record_text(**row))}


def _record_text(rule: str, came: int, withdrawn: int, averted: int) -> str:  # noqa: ARG001
    judged = came + withdrawn
    if not judged + averted:
        return ""
    text = f"{came} of {judged} warnings of this rule came true in 30 days" if judged else ""
    aside = f"{averted} averted" if averted else ""
    return ", ".join(filter(None, (text, aside)))


def _causes(
    window: Window, episodes: Sequence[str], metrics: Mapping[str, Metric]
) -> dict[str, str]:
    if not episodes:
        return {}
    texts = {}
    for row in window.sql(_CAUSES, episodes=list(episodes)).to_pylist():
        metric = metrics.get(row["metric"] or "")
        what = f"{metric.label} on " if metric else ""
        texts[row["episode"]] = f"{what}{row['server'] or 'another server'} ({row['episode']})"
    return texts

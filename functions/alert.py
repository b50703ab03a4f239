"""Alerts: opens, changes and closes the episodes that rules make of odds, values and marks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from functions.alerting import lake_inputs
from functions.alerting.rule_files import news, read_rule_files
from functions.engine.function import Batch, function
from functions.engine.triggers import every, rows
from functions.engine.window import Window
from functions.rollup import SETTLE
from functions.rules.alerts.episode import Episode
from functions.rules.alerts.episodes import Inputs, step
from functions.rules.alerts.rule import NoDataRule
from functions.rules.alerts.rule_book import RuleBook
from storage.config.settings import schema_of
from storage.model.grid import HORIZON_STEPS, STEP, floor_step
from storage.model.metrics import Metric
from storage.model.periods import parse_period
from storage.model.schema import table

# For how long a reboot counts as something that was done about a warning.
ACTED = HORIZON_STEPS * STEP
# A segment that is not in the lake after so long never comes.
LOST_AFTER = timedelta(days=1)
HEARD_WITHIN = timedelta(days=1)


@function(on=(rows("odds"), rows("marks"), every("1m")), writes=("alert_events", "marks"))
def alert(window: Window, cursor: str | None) -> Batch:
    """Open, change and close alert episodes; what it wrote last must be committed before."""
    if _waits_for(window, cursor):
        return Batch()
    folders = window.reader.folders
    read = read_rule_files(folders)
    refused = news(folders, read)
    tables = alert_tables(window, read.book, schema_of(folders).metrics)
    if not tables and not refused:
        return Batch()
    return Batch(
        tables, cursor=window.now.isoformat(), refused=len(refused or ()),
        reasons=refused or (),
    )  # fmt: skip


def alert_tables(window: Window, book: RuleBook, metrics: Sequence[Metric]) -> dict[str, pa.Table]:
    """Return the events of this minute by table; none when there is nothing to say."""
    episodes, fleet = lake_inputs.open_episodes(window), lake_inputs.fleet_of(window)
    readings = window.readings(HEARD_WITHIN)
    last_seen = dict(zip(readings.servers, readings.at, strict=True))
    stop = floor_step(window.now - SETTLE)
    seen = lake_inputs.rule_signals(window, book, metrics, fleet, episodes, stop)
    silent = _silent(book, episodes, last_seen, window.now)
    going_on = [e for e in episodes if e.is_open]
    if not going_on and not silent and not any(seen.values()):
        return {}
    inputs = Inputs(
        signals=seen,
        servers=fleet.by_name,
        last_seen=last_seen,
        beliefs=lake_inputs.beliefs(window, silent),
        marks=lake_inputs.marks_until(window),
        reboots=lake_inputs.reboots(window, going_on),
        causes=lake_inputs.causes(window),
        collecting_since=lake_inputs.collecting_since(window) if silent else None,
    )
    return _tables(step(book, episodes, inputs, window.now), inputs.reboots)


def _silent(
    book: RuleBook, episodes: Sequence[Episode], last_seen: dict[str, datetime], now: datetime
) -> list[str]:
    """Return the servers that may have an episode of missing data from now on."""
    limits = [
        parse_period(r.silent_for) for r in book.by_name.values() if isinstance(r, NoDataRule)
    ]
    known = {e.server for e in episodes if e.is_open and e.metric is None}
    least = min(limits, default=HEARD_WITHIN)
    return [s for s, seen in last_seen.items() if now - seen >= least and s not in known]


def _waits_for(window: Window, cursor: str | None) -> bool:
    """Return True while the events that were written last are not in the lake yet."""
    if cursor is None or abs(window.now - datetime.fromisoformat(cursor)) > LOST_AFTER:
        return False
    committed = window.sql(
        "SELECT 1 FROM segments WHERE function = 'alert' AND cursor = $cursor LIMIT 1",
        cursor=cursor,
    )
    return not committed.num_rows


def _tables(events: list[dict[str, Any]], reboots: Mapping[str, datetime]) -> dict[str, pa.Table]:
    """Return the rows by table: the events, and a mark for each reboot that was noted."""
    marks = [
        {
            "mark": f"reboot-{event['episode']}", "ts": event["ts"], "kind": "reboot",
            "server": event["server"], "episode": event["episode"],
            "starts_at": reboots[event["server"]], "ends_at": reboots[event["server"]] + ACTED,
            "note": event["why"],
        }
        for event in events if event["event"] == "reboot"
    ]  # fmt: skip
    tables = {"alert_events": events, "marks": marks}
    return {
        name: pa.Table.from_pylist(rows, table(name).arrow) for name, rows in tables.items() if rows
    }

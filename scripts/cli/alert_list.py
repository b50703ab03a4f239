"""`hoursight alerts`: the list, one episode, the rules, and marks about them."""

import getpass
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from functions.alerting.rule_files import read_rule_files
from functions.engine.caller import FunctionCaller
from functions.rules.alerts.routes import Routes
from functions.rules.alerts.rule import LEADS, Rule
from functions.rules.alerts.words import amount, odds_words, period
from scripts.cli.output import format_time, print_grid
from scripts.cli.printer import say
from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.model.severity import SEVERITIES
from storage.query.reader import Reader

__all__ = ["add_mark", "episode_called", "list_alerts", "show_alert", "show_rules"]

SHOWN_ID = 8
HISTORY = timedelta(days=7)
_RANKS = {severity.name: severity.rank for severity in SEVERITIES}
_LEAD_NAMES = {minutes: name for name, minutes in LEADS.items()}


class UnknownEpisode(HoursightError):
    """No episode, or more than one, has an id that begins so."""


def list_alerts(data: Path, history: bool) -> None:
    """Print the open episodes, the worst first; with `history` those of the last 7 days too."""
    since = datetime.now(UTC) - (HISTORY if history else timedelta(0))
    rows = _query(
        data, "SELECT * FROM alerts WHERE ended_at IS NULL OR ended_at > $since "
        "ORDER BY opened_at DESC", since=since,
    ).to_pylist()  # fmt: skip
    if not rows:
        say("No open alerts." if not history else "No alerts within the last 7 days.")
        return
    rows.sort(key=lambda row: (row["ended_at"] is not None, -_RANKS.get(row["severity"], 0)))
    columns = ["id", "phase", "severity", "server", "what", "since", "answered by", "why"]
    print_grid(columns, [_line(row) for row in rows])


def _line(row: Mapping[str, Any]) -> list[Any]:
    return [
        row["episode"][:SHOWN_ID], row["phase"], row["severity"], row["server"], _what(row),
        row["opened_at"], row["answered_by"], row["why"],
    ]  # fmt: skip


def _what(row: Mapping[str, Any]) -> str:
    if row["metric"] is None:
        return "no data"
    value = f"{row['metric']} {amount(row['metric'], row['value'])}"
    if row["p"] is None or row["phase"] != "predicted":
        return value
    return f"{value}, {odds_words(row['p'], row['horizon_minutes'])}"


def show_alert(data: Path, episode: str) -> None:
    """Print all events of an episode. Raises UnknownEpisode."""
    name = episode_called(data, episode)
    events = _query(
        data, "SELECT * FROM alert_events WHERE episode = $name ORDER BY ts, event", name=name
    ).to_pylist()
    last = events[-1]
    say(f"episode {name}: {last['server']}, {_what(last | {'horizon_minutes': None})}")
    say(f"rule {last['rule']}, group {last['group_key']}, phase {last['phase']}")
    if last["group_id"]:
        say(f"its messages are those of episode {last['group_id']}")
    for reason in last["reasons"] or ():
        say(f"  {reason}")
    columns = ["time", "event", "phase", "severity", "sent to", "by", "why"]
    print_grid(columns, [
        [
            row["ts"], row["event"], row["phase"], row["severity"], row["channels"],
            row["made_by"], row["why"],
        ]
        for row in events
    ])  # fmt: skip


def episode_called(data: Path, beginning: str) -> str:
    """Return the id of the episode whose id begins so. Raises UnknownEpisode."""
    names: list[str] = _query(
        data,
        "SELECT DISTINCT episode FROM alert_events WHERE starts_with(episode, $beginning) LIMIT 5",
        beginning=beginning,
    )["episode"].to_pylist()
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnknownEpisode(
            f"no episode begins with {beginning!r}", "'hoursight alerts list --history' lists them"
        )
    raise UnknownEpisode(
        f"several episodes begin with {beginning!r}: {', '.join(sorted(names))}", "write more of it"
    )


def show_rules(data: Path) -> bool:
    """Print the rules in force and what is refused; return True if nothing is."""
    read = read_rule_files(Folders.at(data), save=False)
    print_grid(
        ["rule", "on", "metrics", "servers", "level", "warns at", "closes after"],
        [_rule_line(rule) for rule in read.book.rules],
    )
    for silent in read.book.no_data:
        state = f"after {silent.silent_for}" if silent.enabled else "off"
        say(f"no data: rule {silent.name!r}, {state}, servers {_listed(silent.servers)}")
    for window in read.book.maintenance:
        when = window.repeat or window.cron or "once"
        say(f"maintenance: {window.name!r}, {window.starts or ''} {when}, {window.zone}")
    _show_routes(read.book.routes)
    if read.book.silent_share:
        say(f"silent arm: {100 * read.book.silent_share:g} % of low warnings are not sent")
    for refusal in read.refusals:
        say(f"! {refusal}", err=True)
    return not read.refusals


def _show_routes(routes: Routes) -> None:
    ladders = {severity.name: routes.ladder(severity.slug) for severity in SEVERITIES}
    if not any(ladders.values()):
        say("Nothing is sent: hoursight.toml has no channel below [channels].")
    for name, ladder in ladders.items():
        steps = [
            f"{_listed(to)} after {period(after)}" if after else _listed(to) for after, to in ladder
        ]
        if steps:
            say(f"{name}: {' → '.join(steps)}")


def _rule_line(rule: Rule) -> list[Any]:
    odds = ", ".join(f"{p:g} in {_LEAD_NAMES[lead]}" for lead, p in rule.odds_at(True).items())
    return [
        rule.name, "yes" if rule.enabled else "no", _listed(rule.metrics), _listed(rule.servers),
        str(rule.level), odds or "no odds", rule.close_after,
    ]  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def add_mark(data: Path, fields: dict[str, Any]) -> bool:
    """Record a mark; return True if it was taken. Raises UnknownEpisode."""
    if "episode" in fields:
        fields = fields | {"episode": episode_called(data, fields["episode"])}
    body = {"made_by": getpass.getuser()} | fields
    batch = FunctionCaller.at(data).call("mark", body=body).batch
    for reason in batch.reasons:
        say(f"! {reason}", err=True)
    for row in batch.rows["marks"].to_pylist() if batch.rows else ():
        target = row["server"] or row["pattern"]
        lasts = row["ends_at"] is not None and row["ends_at"] > row["starts_at"]
        until = f" until {format_time(row['ends_at'])}" if lasts else ""
        say(f"{row['kind']}: {target}{until}")
    return not batch.refused


def _query(data: Path, sql: str, **parameters: Any) -> pa.Table:
    with closing(Reader.open(data)) as reader:
        return reader.query(sql, **parameters)

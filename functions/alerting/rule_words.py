"""Alert rules, maintenance windows and ladders in words, as values that JSON has."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.routes import Routes
from functions.rules.alerts.rule import STOCK_NO_DATA, STOCK_RULE, NoDataRule, Rule, Scope
from functions.rules.alerts.words import lead_words, listed, period
from storage.model.periods import parse_period
from storage.model.severity import SEVERITIES

__all__ = ["ladders_in_words", "maintenance_in_words", "no_data_in_words", "rule_in_words"]


def rule_in_words(rule: Rule) -> dict[str, Any]:
    """Return a rule on metrics: its name, what it covers, and sentences on what it does."""
    return {
        "name": rule.name, "enabled": rule.enabled, "stock": rule.name == STOCK_RULE,
        "kind": "metrics", "covers": f"{listed(rule.metrics)} of {_covered(rule)}",
        "sentences": [*_warnings(rule), _breach(rule), _end(rule)],
    }  # fmt: skip


def _warnings(rule: Rule) -> list[str]:
    if not rule.odds_at(True):
        return ["It does not warn by odds: its level is not the critical one."]
    least, within = rule.needed_minutes(trend=False)
    sentences = [
        f"Warns at {_odds(rule.odds_at(True))} for {least:g} of the last {within:g} minutes."
    ]
    if unchecked := rule.odds_at(False):
        sentences.append(
            f"Until the odds were checked on this fleet's breaches: at {_odds(unchecked)}."
        )
    if rule.page_odds:
        sentences.append(f"Pages at {_odds(rule.page_odds)}.")
    return sentences


def _odds(limits: Mapping[int, float]) -> str:
    parts = [f"P({lead_words(lead)}) ≥ {100 * p:g} %" for lead, p in limits.items()]
    return " or ".join(parts) or "no odds"


def _breach(rule: Rule) -> str:
    level = f"the {rule.level} level" if isinstance(rule.level, str) else f"{rule.level:g}"
    if rule.samples == "any":
        return f"A breach is any single 5-minute step at {level}, by its maximum."
    return f"A breach is {period(parse_period(rule.breach))} at {level} or beyond."


def _end(rule: Rule) -> str:
    return (
        f"Closes after {period(parse_period(rule.close_after))} of quiet; reopens "
        f"{period(parse_period(rule.reopen_after))} after that at the earliest."
    )


def no_data_in_words(rule: NoDataRule) -> dict[str, Any]:
    """Return a rule on silence in the same form."""
    return {
        "name": rule.name, "enabled": rule.enabled, "stock": rule.name == STOCK_NO_DATA,
        "kind": "no data", "covers": f"missing data of {_covered(rule)}",
        "sentences": [f"Opens after {period(parse_period(rule.silent_for))} without a sample."],
    }  # fmt: skip


def _covered(scope: Scope) -> str:
    servers = "all servers" if scope.servers == ("*",) else f"servers {listed(scope.servers)}"
    profiles = f" of profile {listed(scope.profiles)}" if scope.profiles else ""
    return servers + profiles + (f" at {listed(scope.sites)}" if scope.sites else "")


def maintenance_in_words(window: Maintenance, now: datetime) -> dict[str, Any]:
    """Return a window with the occurrence that is on or comes next, by its zone and in UTC."""
    repeats = window.repeat or window.cron or "once"
    occurrence = window.upcoming(now)
    shown: dict[str, Any] = {
        "name": window.name, "zone": window.zone, "repeats": repeats, "covers": _covered(window),
        "active": occurrence is not None and occurrence.start <= now,
        "start": None, "end": None, "local_start": None, "local_end": None,
    }  # fmt: skip
    if occurrence is None:
        return shown
    zone = ZoneInfo(window.zone)
    times = {"start": occurrence.start, "end": occurrence.end}
    return (
        shown | {name: at.astimezone(UTC).isoformat() for name, at in times.items()}
        | {f"local_{name}": f"{at.astimezone(zone):%a %d %b %H:%M}" for name, at in times.items()}
    )  # fmt: skip


def ladders_in_words(routes: Routes) -> list[dict[str, str]]:
    """Return who is notified at each severity, and who after that; none without channels."""
    ladders = {severity.name: routes.ladder(severity.slug) for severity in SEVERITIES}
    return [
        {"severity": name, "steps": " → ".join(
            f"{listed(to)} after {period(after)}" if after else listed(to) for after, to in ladder
        )}
        for name, ladder in ladders.items() if ladder
    ]  # fmt: skip

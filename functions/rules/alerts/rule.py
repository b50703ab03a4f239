"""Alert rules as they are written in `alerts/*.toml`, and which servers and metrics each is for."""

from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from functions.rules.defaults import (
    BANDS_WINDOW,
    CLOSE_AFTER,
    ODDS_TO_PAGE,
    ODDS_TO_WARN,
    ODDS_UNCHECKED,
    REOPEN_AFTER,
    TREND_WINDOW,
)
from storage.model.grid import LEAD_MINUTES, STEP
from storage.model.periods import parse_period
from storage.model.severity import SEVERITIES, Severity

__all__ = [
    "GROUP_BY", "LEADS", "STOCK_NO_DATA", "STOCK_RULE", "NoDataRule", "Rule", "Scope",
    "ServerFacts", "check_name", "check_period", "matches", "minutes", "severity_called",
]  # fmt: skip

# How leads are written, and their minutes.
LEADS = {f"{m // 60}h" if m >= 60 else f"{m}m": m for m in LEAD_MINUTES}
STOCK_RULE = "breach"
STOCK_NO_DATA = "no data"
LONGEST_WITHIN = timedelta(hours=2)
# Episodes of one rule that have these in common are sent as one message.
GROUP_BY = ("cascade", "site", "profile", "metric")
GROUPS = (*GROUP_BY, "server")
_SLUGS = {severity.slug: severity for severity in SEVERITIES}


class ServerFacts(msgspec.Struct, frozen=True):
    """What rules, windows and groups may know of a server."""

    server: str
    profile: str = "generic"
    site: str | None = None


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Servers by globs of their names, and by profile and site where these are given."""

    servers: tuple[str, ...] = ("*",)
    profiles: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def covers(self, facts: ServerFacts) -> bool:
        """Return True if a server belongs to it."""
        return (
            matches(facts.server, self.servers)
            and (not self.profiles or facts.profile in self.profiles)
            and (not self.sites or facts.site in self.sites)
        )


class Rule(Scope, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule on metrics: it warns by the odds of a breach, and notes the breach itself.

    It warns when any of `odds` (`unchecked` until the odds were checked on this fleet's breaches)
    is reached `for_at_least` so long in the last `within`, and pages at `page`. A breach is the
    `level` for the time `breach`. It closes after `close_after` without either. Episodes that are
    the same in all of `group_by` are sent as one message; in none of it: each for itself.
    """

    name: str
    enabled: bool = True
    metrics: tuple[str, ...] = ("*",)
    level: str | float = "critical"
    breach: str = "15m"
    samples: Literal["mean", "any"] = "mean"
    odds: dict[str, float] | None = None
    unchecked: dict[str, float] | None = None
    page: dict[str, float] | None = None
    for_at_least: str | None = None
    within: str | None = None
    close_after: str = CLOSE_AFTER
    reopen_after: str = REOPEN_AFTER
    severity: str = "warning"
    page_severity: str = "critical"
    breach_severity: str = "critical"
    group_by: tuple[str, ...] = GROUP_BY

    def __post_init__(self) -> None:
        check_name(self.name)
        if isinstance(self.level, str) and self.level not in ("critical", "warn"):
            raise ValueError(f"level is {self.level!r}, expected 'critical', 'warn' or a number")
        for key in ("breach", "for_at_least", "within", "close_after", "reopen_after"):
            check_period(key, getattr(self, key))
        for key in ("odds", "unchecked", "page"):
            self._check_odds(key, getattr(self, key))
        for key in ("severity", "page_severity", "breach_severity"):
            severity_called(getattr(self, key), key)
        check_group_by(self.group_by)
        if (self.for_at_least is None) != (self.within is None):
            raise ValueError("one of for_at_least and within is given, expected both or none")
        least, span = self.for_at_least, self.within
        if least and span and parse_period(least) > parse_period(span):
            raise ValueError(f"for_at_least is {least!r}, expected no more than within, {span!r}")

        if span and parse_period(span) > LONGEST_WITHIN:
            raise ValueError(f"within is {span!r}, expected at most 2h")

    def _check_odds(self, key: str, odds: dict[str, float] | None) -> None:
        if odds and self.level != "critical":
            raise ValueError(
                f"{key} are odds of the critical level, and level is {self.level!r}: leave one out"
            )
        for lead, p in (odds or {}).items():
            if lead not in LEADS:
                raise ValueError(f"{key} has {lead!r}, expected some of {', '.join(LEADS)}")
            if not 0 < p <= 1:
                raise ValueError(f"{key}.{lead} is {p:g}, expected a number over 0 and up to 1")

    @property
    def breach_steps(self) -> int:
        """How many 5-minute steps in a row make a breach."""
        return 1 if self.samples == "any" else max(1, round(parse_period(self.breach) / STEP))

    def odds_at(self, checked: bool) -> dict[int, float]:
        """The odds by lead in minutes at which it warns."""
        stock = ODDS_TO_WARN if checked else ODDS_UNCHECKED
        return self._by_minutes(self.odds if checked else self.unchecked, stock)

    @property
    def page_odds(self) -> dict[int, float]:
        """The odds by lead in minutes at which it pages: only odds that were checked do."""
        return self._by_minutes(self.page, ODDS_TO_PAGE)

    def _by_minutes(
        self, given: dict[str, float] | None, stock: dict[str, float]
    ) -> dict[int, float]:
        if self.level != "critical":
            return {}
        return {LEADS[lead]: p for lead, p in (stock if given is None else given).items()}

    def needed_minutes(self, trend: bool) -> tuple[float, float]:
        """For how many of the last minutes the odds must be high: (at least, within)."""
        stock = TREND_WINDOW if trend else BANDS_WINDOW
        given = (self.for_at_least, self.within)
        least, within = given if given[0] and given[1] else stock
        return minutes(least or ""), minutes(within or "")


class NoDataRule(Scope, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule on silence: a server without a sample for `silent_for` has an episode of its own."""

    name: str
    enabled: bool = True
    silent_for: str = "15m"
    severity: str = "warning"
    group_by: tuple[str, ...] = GROUP_BY

    def __post_init__(self) -> None:
        check_name(self.name)
        check_period("silent_for", self.silent_for)
        check_group_by(self.group_by)
        severity_called(self.severity, "severity")


def matches(name: str, globs: Sequence[str]) -> bool:
    """Return True if one of the globs fits; capitals do not matter."""
    return any(glob == "*" or fnmatchcase(name.lower(), glob.lower()) for glob in globs)


def severity_called(slug: str, key: str) -> Severity:
    """Return the severity level of this slug. Raises ValueError, which names `key`."""
    if slug not in _SLUGS:
        raise ValueError(f"{key} is {slug!r}, expected one of {', '.join(_SLUGS)}")
    return _SLUGS[slug]


def check_name(name: str) -> None:
    """Raise ValueError for an empty name."""
    if not name.strip():
        raise ValueError(f"name is {name!r}, expected a name that is used once, such as 'disk'")


def check_group_by(names: Sequence[str]) -> None:
    """Raise ValueError for something that episodes are not grouped by."""
    for name in names:
        if name not in GROUPS:
            raise ValueError(f"group_by has {name!r}, expected some of {', '.join(GROUPS)}")


def check_period(key: str, text: str | None) -> timedelta | None:
    """Return a period as one. Raises ValueError, which names `key`."""
    try:
        return None if text is None else parse_period(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def minutes(text: str) -> float:
    """Return a period in minutes."""
    return parse_period(text) / timedelta(minutes=1)

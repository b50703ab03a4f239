"""The summary of the fleet: how many report, open episodes, and the chance of an incident."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.query.reader import Reader
from web.display import formatting
from web.kept_results import KeptResults
from web.lake_session import sql

__all__ = ["FleetStrip", "fleet_strip"]


@dataclass(frozen=True, slots=True)
class FleetStrip:
    """Counts of servers and open episodes; the odds are None where they are not known."""

    total: int
    reporting: int
    blind: int
    changed: int
    open_episodes: int
    p_30m: float | None
    p_480m: float | None
    checked: bool

    @property
    def reporting_text(self) -> str:
        """How many servers report."""
        if self.total == 1:
            return "the server reports" if self.reporting else "the server does not report"
        return f"{self.reporting:,} of {self.total:,} reporting"

    @property
    def episodes_text(self) -> str:
        """How many episodes are open."""
        if not self.open_episodes:
            return "no open episodes"
        return f"{self.open_episodes:,} open episode{'s' if self.open_episodes != 1 else ''}"

    @property
    def chance_text(self) -> str:
        """The chance of an incident, and whether it was checked on this fleet."""
        if self.p_30m is None or self.p_480m is None:
            return "chance of an incident: not yet known"
        soon, later = formatting.percent(self.p_30m), formatting.percent(self.p_480m)
        checked = "checked" if self.checked else "not yet checked"
        return f"chance of an incident {soon} in 30 min, {later} in 8 h ({checked})"


def fleet_strip(
    reader: Reader, kept: KeptResults, counts: Iterable[Mapping[str, Any]], now: datetime
) -> FleetStrip:
    """Return the summary; `counts` are the rows of the query `memory_fleet_counts`."""
    by_health = list(counts)
    total, reporting, blind, changed = (
        sum(row[name] for row in by_health) for name in ("servers", "reporting", "blind", "changed")
    )
    open_by_severity = kept.read(
        reader, "open_episodes", ["alert_events"], now,
        lambda: reader.query(sql("open_episodes"), now=now).to_pylist(),
    )  # fmt: skip
    odds = kept.read(
        reader, "fleet_odds", ["fleet_odds"], now,
        lambda: reader.query(sql("fleet_odds"), now=now).to_pylist(),
    )  # fmt: skip
    newest = odds[0] if odds else {"p_30m": None, "p_480m": None, "checked": None}
    return FleetStrip(
        total, reporting, blind, changed, sum(row["episodes"] for row in open_by_severity),
        newest["p_30m"], newest["p_480m"], bool(newest["checked"]),
    )  # fmt: skip

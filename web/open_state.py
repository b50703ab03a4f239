"""The state in the title and the icon of every page: how many alert episodes are open, how bad."""

from dataclasses import dataclass
from datetime import datetime

from storage.inbox import notify
from storage.model.severity import CRITICAL, DANGER, IMMINENT, SEVERITY_BY_NAME, WARNING
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed, sql

__all__ = ["OpenState", "open_state"]

# Levels with an icon of their own; the others have the plain one.
_WITH_ICON = frozenset(level.slug for level in (IMMINENT, CRITICAL, DANGER, WARNING))


@dataclass(frozen=True, slots=True)
class OpenState:
    """Number of open episodes, and the slug of their worst severity; empty without any."""

    episodes: int = 0
    worst: str = ""

    @property
    def icon(self) -> str:
        """The icon of the site in this state, a static file."""
        return f"icon-{self.worst}.svg" if self.worst in _WITH_ICON else "icon.svg"

    @property
    def header(self) -> str:
        """The state as the value of a header, which open pages read."""
        return f"{self.episodes} {self.icon}"


def open_state(lake: LakeSession, now: datetime) -> OpenState:
    """Return the state; without a lake that can be read, that nothing is open."""
    changed = notify.commit_times(lake.folders.data).get("alert_events")
    if changed is None:
        return OpenState()
    try:
        return lake.kept.shared("open state", changed, lambda: _read(lake, now))
    except (LakeMissing, LakeUnreadable, QueryFailed):
        return OpenState()


def _read(lake: LakeSession, now: datetime) -> OpenState:
    with lake.snapshot() as reader:
        rows = reader.query(sql("open_episodes"), now=now).to_pylist()
    levels = [SEVERITY_BY_NAME[row["severity"]] for row in rows if row["severity"]]
    worst = max(levels, key=lambda level: level.rank, default=None)
    return OpenState(sum(row["episodes"] for row in rows), worst.slug if worst else "")

"""Filter of the fleet page, as it is in the URL."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

__all__ = ["GROUPS", "MAX_ROWS", "PAGE_ROWS", "FleetFilter"]

PAGE_ROWS = 50
MAX_ROWS = 5000
GROUPS = ("profile", "site", "tag")


@dataclass(frozen=True, slots=True)
class FleetFilter:
    """Filter, grouping and row limit of the fleet page; an empty field matches every server."""

    q: str = ""
    profile: str = ""
    severity: str = ""
    show: int = PAGE_ROWS
    site: str = ""
    tag: str = ""
    changed: bool = False
    group: str = ""
    view: str = ""
    metric: str = ""
    sort: str = ""

    @property
    def on(self) -> bool:
        """Whether any field is set that leaves servers out."""
        return bool(self.query_of("q", "profile", "severity", "site", "tag", "changed"))

    @property
    def listed(self) -> bool:
        """Whether the view is the list of servers."""
        return not self.view and not self.group

    def query_of(self, *names: str) -> str:
        """Return those fields that are set as the query of a URL."""
        given = {name: getattr(self, name) for name in names}
        return urlencode({name: _text(value) for name, value in given.items() if value})

    def link(self, **changes: Any) -> str:
        """Return the path and query of the page with other values in the filter."""
        changed = replace(self, **({"show": PAGE_ROWS} | changes))
        names = [name for name in _FIELDS if name != "show" or changed.show != PAGE_ROWS]
        query = changed.query_of(*names)
        return f"/?{query}" if query else "/"

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the query `memory_fleet_page`."""
        return {
            "q": self.q.strip().lower(), "profile": self.profile, "severity": self.severity,
            "site": self.site, "tag": self.tag, "changed": self.changed,
            "show": min(MAX_ROWS, max(1, self.show)),
        }  # fmt: skip


_FIELDS = tuple(FleetFilter.__dataclass_fields__)


def _text(value: object) -> str:
    return "1" if value is True else str(value)

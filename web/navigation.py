"""The pages in the head of the site, in their order."""

from dataclasses import dataclass

__all__ = ["NAVIGATION", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the head; `apart` begins the group of pages about the system itself."""

    path: str
    name: str
    apart: bool = False


NAVIGATION = (
    Entry("/", "Fleet"),
    Entry("/alerts", "Alerts"),
    Entry("/trust", "Trust"),
    Entry("/sql", "SQL"),
    Entry("/functions", "Functions", apart=True),
    Entry("/sources", "Sources"),
    Entry("/settings", "Settings"),
    Entry("/docs", "Docs"),
)

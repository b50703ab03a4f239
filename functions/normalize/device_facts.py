"""Device facts: the volume and links that the metrics of a server are of, stated on changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["DeviceFacts", "listed"]

# Two volumes of about the same fullness take turns: the stated one stays while it is this near.
NEAR_PCT = 1.0
MAX_LISTED = 8
MAX_CHARS = 100


@dataclass(slots=True)
class DeviceFacts:
    """What was last stated of one server; None where nothing was."""

    volume: str | None = None
    links: str | None = None

    def update(self, fullness: Mapping[str, float], links: Iterable[str]) -> bool:
        """Take the fullness [%] of the volumes and the links that count; return True if news.

        Without volumes or links, as in a part of a sample, the stated ones stay.
        """
        before = self.volume, self.links
        if fullness:
            fullest = max(sorted(fullness), key=lambda name: fullness[name])
            stated = fullness.get(self.volume or "", float("-inf"))
            if stated < fullness[fullest] - NEAR_PCT:
                self.volume = fullest[:MAX_CHARS]
        if named := listed(links):
            self.links = named
        return before != (self.volume, self.links)


def listed(names: Iterable[str]) -> str:
    """Names as text: the first of them, and how many more there are."""
    ordered = sorted(names)
    text = ", ".join(name[:MAX_CHARS] for name in ordered[:MAX_LISTED])
    more = len(ordered) - MAX_LISTED
    return f"{text} and {more} more" if more > 0 else text

"""Evidence that it takes before a forecast or odds are trusted; rules and pages use the same."""

from typing import Final

__all__ = ["LEAST_EVENTS", "SKILL_HOURS"]

SKILL_HOURS: Final = 24  # of scores before the skill of a server's metric is judged
LEAST_EVENTS: Final = 30  # breaches of the fleet before odds are marked as checked

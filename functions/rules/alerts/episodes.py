"""Episodes: one step in time makes of rules, open episodes and what is seen the events to record.

Each episode has at most one event a step, so its newest row always has its whole state.
"""

from collections.abc import Iterable
from datetime import datetime

from functions.rules.alerts.episode import Episode
from functions.rules.alerts.life import Life
from functions.rules.alerts.openings import openings
from functions.rules.alerts.rule_book import RuleBook
from functions.rules.alerts.step_context import Inputs, Row, StepContext

__all__ = ["Inputs", "step"]


def step(book: RuleBook, episodes: Iterable[Episode], inputs: Inputs, now: datetime) -> list[Row]:
    """Return the events at `now` as rows of `alert_events`.

    `episodes` are those that are open, and those that ended within the last 24 h.
    """
    context = StepContext(book, episodes, inputs, now)
    life = Life(context)
    rows = [life.next(episode) for episode in context.open.values()]
    return [*(row for row in rows if row is not None), *openings(context)]

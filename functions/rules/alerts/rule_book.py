"""Rule book: all that decides about alerts, from the stock rules and those of the user."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from functions.rules.alerts.maintenance import Maintenance
from functions.rules.alerts.routes import STOCK_ROUTES, STOCK_STEPS, Routes
from functions.rules.alerts.rule import STOCK_NO_DATA, STOCK_RULE, NoDataRule, Rule

__all__ = ["STOCK_BOOK", "RuleBook"]


@dataclass(frozen=True)
class RuleBook:
    """Rules in force, each name once; `silent_share` of the low warnings are recorded, not sent."""

    rules: tuple[Rule, ...]
    no_data: tuple[NoDataRule, ...]
    maintenance: tuple[Maintenance, ...]
    routes: Routes
    silent_share: float = 0.0

    @cached_property
    def by_name(self) -> dict[str, Rule | NoDataRule]:
        """The rules that are on, by name."""
        every: Iterable[Rule | NoDataRule] = (*self.rules, *self.no_data)
        return {rule.name: rule for rule in every if rule.enabled}


STOCK_BOOK = RuleBook(
    (Rule(name=STOCK_RULE),),
    (NoDataRule(name=STOCK_NO_DATA),),
    (),
    Routes(dict(STOCK_ROUTES), dict(STOCK_STEPS)),
)

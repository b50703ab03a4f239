from dataclasses import replace

from functions.rules.alerts.rule import NoDataRule, Rule
from functions.rules.alerts.rule_book import STOCK_BOOK


def test_only_rules_that_are_on_are_in_force() -> None:
    book = replace(
        STOCK_BOOK,
        rules=(Rule(name="a"), Rule(name="b", enabled=False)),
        no_data=(NoDataRule(name="c", enabled=False),),
    )
    assert set(book.by_name) == {"a"}

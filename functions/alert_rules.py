"""Alert rules for a reader: those in force, what is refused, maintenance windows and ladders."""

from functions.alerting.rule_files import read_rule_files
from functions.alerting.rule_words import (
    ladders_in_words,
    maintenance_in_words,
    no_data_in_words,
    rule_in_words,
)
from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window

__all__ = ["alert_rules"]


@function(on=request(), writes=())
def alert_rules(window: Window) -> Batch:
    """Answer with the alert rules, maintenance windows and ladders in force, and what is refused.

    The answer has `rules` (name, enabled, stock, kind, covers, sentences), `maintenance` (with the
    occurrence that is on or comes next), `ladders`, `silent_share` and `refusals`.
    """
    read = read_rule_files(window.reader.folders, save=False)
    book = read.book
    return Batch(answer={
        "rules": [*map(rule_in_words, book.rules), *map(no_data_in_words, book.no_data)],
        "maintenance": [maintenance_in_words(each, window.now) for each in book.maintenance],
        "ladders": ladders_in_words(book.routes),
        "silent_share": book.silent_share,
        "refusals": list(map(str, read.refusals)),
    })  # fmt: skip

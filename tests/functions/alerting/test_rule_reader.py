import re
from pathlib import Path

import pytest

from functions.alerting.rule_reader import Entries, ReadBook, read_book
from functions.rules.alerts.rule import STOCK_RULE
from storage.model.metrics import METRICS, Levels, Metric

OWN = Metric("queue", "Queue", "jobs", "count", None, "high", "jobs waiting", Levels(50, 100))
KNOWN = (*METRICS, OWN)


def read(text: str, last_good: dict[str, Entries] | None = None) -> ReadBook:
    return read_book({"mine": text.encode()}, last_good or {}, KNOWN)


GOOD = """
[[rule]]
name = "disks"
metrics = ["disk_usage_pct"]
servers = ["db*"]
odds = { 4h = 0.5 }
for_at_least = "20m"
within = "30m"
group_by = ["site"]

[[rule]]
name = "queue"
metrics = ["queue"]
breach = "10m"

[[no_data]]
name = "no data"
silent_for = "30m"

[[maintenance]]
name = "night"
zone = "Europe/Berlin"
starts = "2026-01-01 22:00"
repeat = "FREQ=WEEKLY;BYDAY=SA"
to = "06:00"

[routes]
critical = "mine"
degrading = ""

[escalation]
mine = { to = ["pager"], after = "10m", then = "boss" }
boss = { to = ["boss", "chat"] }

[silent_arm]
share = 0.1
"""


def test_a_file_of_all_that_there_is() -> None:
    book = (result := read(GOOD)).book
    assert result.refusals == ()
    assert [rule.name for rule in book.rules] == [STOCK_RULE, "disks", "queue"]
    assert book.rules[1].group_by == ("site",)
    assert [rule.silent_for for rule in book.no_data] == ["30m"]  # in place of the stock one
    assert [step[1] for step in book.routes.ladder("critical")] == [("pager",), ("boss", "chat")]
    assert list(book.routes.ladder("degrading")) == []
    assert (book.maintenance[0].name, book.silent_share) == ("night", 0.1)


def test_no_files_are_the_stock_rules() -> None:
    book = read_book({}, {}, METRICS).book
    assert set(book.by_name) == {"breach", "no data"}


RULE = '[[rule]]\nname = "x"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (RULE + 'metrics = ["mem_usd_pct"]', "metrics has 'mem_usd_pct', which no metric matches"),
        (RULE + 'metrics = ["cpu_user_pct"]', "cpu_user_pct has no critical level"),
        (RULE + 'metric = ["mem_used_pct"]', "metric is not a key (expected one of "),
        (RULE + "odds = { 3h = 0.5 }", "odds has '3h', expected some of 30m, 1h, 2h, 4h, 8h"),
        (RULE + "odds = { 1h = 50 }", "odds.1h is 50, expected a number over 0 and up to 1"),
        (RULE + "level = 80\nodds = { 1h = 0.5 }", "odds are odds of the critical level"),
        (RULE + 'level = "bad"', "level is 'bad', expected 'critical', 'warn' or a number"),
        (RULE + 'within = "10m"', "one of for_at_least and within is given"),
        (RULE + 'for_at_least = "20m"\nwithin = "10m"', "expected no more than within, '10m'"),
        (RULE + 'for_at_least = "1h"\nwithin = "3h"', "within is '3h', expected at most 2h"),
        (RULE + 'breach = "5 apples"', "'5 apples' is not a valid period"),
        (RULE + 'group_by = ["rack"]', "group_by has 'rack', expected some of cascade, site"),
        (RULE + 'severity = "bad"', "severity is 'bad', expected one of imminent"),
        (RULE + 'samples = "all"', "samples is 'all'"),
        ('[[rule]]\nmetrics = ["*"]', "name is missing: write it"),
        (RULE + RULE, "another rule has: choose another"),
        ("[rule]\nname = 'x'", "expected a list: write [[rule]]"),
        ("[[rules]]\nname = 'x'", "'rules' is not a key of a file of rules"),
        ("rule = [", "correct the file"),
        ('[routes]\nbad = "team"', "severity is 'bad'"),
        ('[routes]\ncritical = "nobody"', "step 'nobody' of critical is missing"),
        ('[escalation]\nteam = { to = ["a"], after = "5m", then = "team" }', "team → team"),
        ("[silent_arm]\nshare = 0.9", "share is 0.9, expected a number from 0 to 0.5"),
        ('[[maintenance]]\nname = "n"\nzone = "Mars"\ncron = "0 2 * * *"\nduration = "1h"', "zone"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key_and_the_rest_goes_on(
    text: str, named: str
) -> None:
    result = read(text)
    (refusal,) = result.refusals
    assert named in refusal.why
    assert "it is left out" in str(refusal)
    assert STOCK_RULE in result.book.by_name


def test_the_last_good_version_of_a_rule_goes_on_beside_changes_of_others() -> None:
    first = read(RULE + 'close_after = "1h"\n[[rule]]\nname = "y"\n')
    second = read(
        RULE + 'close_after = "1 hour"\n[[rule]]\nname = "y"\nclose_after = "2h"\n',
        dict(first.entries),
    )
    (refusal,) = second.refusals
    assert (refusal.entry, refusal.kept) == ("rule 'x'", True)
    assert "its last good version goes on" in str(refusal)
    periods = {rule.name: rule.close_after for rule in second.book.rules}
    assert (periods["x"], periods["y"]) == ("1h", "2h")
    assert second.entries["mine"]["rule"]["x"]["close_after"] == "1h"


def test_a_file_that_is_no_toml_leaves_all_of_it_in_force() -> None:
    first = read(GOOD)
    second = read("[[rule", dict(first.entries))
    assert second.book == first.book
    assert [refusal.kept for refusal in second.refusals] == [True]


def test_routes_that_are_not_whole_leave_the_last_ones_in_force() -> None:
    first = read(GOOD)
    second = read(GOOD.replace("boss = { to", "other = { to"), dict(first.entries))
    assert "step 'boss' of critical is missing" in second.refusals[0].why
    assert second.book.routes == first.book.routes


def test_a_rule_that_is_removed_is_gone() -> None:
    first = read(RULE)
    assert "x" not in read("", dict(first.entries)).book.by_name


def test_a_stock_rule_can_be_turned_off() -> None:
    assert STOCK_RULE not in read('[[rule]]\nname = "breach"\nenabled = false').book.by_name


def test_the_example_of_the_documentation_can_be_used() -> None:
    text = (Path(__file__).parents[3] / "docs" / "loop.md").read_text()
    example = re.search(r"```toml\n(\[\[rule\]\].*?)```", text, re.DOTALL)
    assert example is not None
    result = read(example[1])
    assert result.refusals == ()
    assert "database disks" in result.book.by_name

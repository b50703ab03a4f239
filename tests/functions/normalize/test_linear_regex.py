"""Regular expressions of users: the groups of a match, and patterns that are not taken."""

import re
import time

import pytest

from functions.normalize.linear_regex import check_pattern, search
from functions.normalize.stock_mappings import stock_names, stock_toml


@pytest.mark.parametrize(
    ("pattern", "text", "groups"),
    [
        ("^([^:]+):([0-9]+)", "web1:9100", {"1": "web1", "2": "9100"}),
        ("(?P<server>[a-z]+)-(x)?", "web-", {"1": "web", "server": "web"}),
        (r"\((?P<a>[^)(\]]+)\)|[(](?P<b>.)", "(ab)", {"1": "ab", "a": "ab"}),
        (r"[]()](x)", ")x", {"1": "x"}),
        (r"[^]\]()](?:y)(x)", "ayx", {"1": "x"}),
        ("(?i)WEB", "my-web", {}),
        ("a(?P<x>.)|b", "üab", {"1": "b", "x": "b"}),
        ("z", "abc", None),
    ],
)
def test_the_groups_of_the_first_match_are_those_of_python(
    pattern: str, text: str, groups: dict[str, str] | None
) -> None:
    assert search(pattern, [text, ""])[0] == groups
    match = re.search(pattern, text)
    known = None if match is None else {k: v for k, v in match.groupdict().items() if v}
    assert known is None or known.items() <= (groups or {}).items()


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*)*x(.*)*y"])
def test_no_pattern_takes_longer_than_linear_time(pattern: str) -> None:
    began = time.process_time()
    assert search(check_pattern(pattern).pattern, ["a" * 100_000 + "b"]) is not None
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "not a valid regular expression"), ("(?=a)b", "cannot be matched in linear time"),
        (r"(a)\1", "without lookaround and references"), ("(?P<a>x)(?P=a)", "in linear time"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_matched_is_named(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_pattern(pattern)


def test_half_a_pair_of_surrogates_is_no_match_and_no_error() -> None:
    assert search("(x)", ["\ud800", "\ud800x"]) == [None, {"1": "x"}]


def test_all_patterns_of_stock_mappings_are_taken() -> None:
    mappings = [stock_toml(name).mapping for name in stock_names()]
    parts = [part for mapping in mappings for part in mapping.values() if isinstance(part, dict)]
    patterns = [part["pattern"] for part in parts if "pattern" in part]
    assert len(patterns) >= 4
    assert all(check_pattern(pattern) for pattern in patterns)

"""Size of a PromQL expression."""

import promql_parser as promql
import pytest

from storage.model.promql_text import MAX_UNQUOTED, size_problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1" + "+1" * 4900, "outside of quotes"), ("(" * 61 + "1" + ")" * 61, "61 brackets"),
        ("x" * 300_000, "300,000 characters"), ("a{b='" + "x" * 250_000 + "'}", "250,007"),
    ],
)  # fmt: skip
def test_an_expression_that_may_crash_the_parser_is_refused(text: str, reason: str) -> None:
    problem = size_problem(text)
    assert problem is not None
    assert reason.replace("61 brackets", "60 brackets") in problem


def test_names_of_a_whole_fleet_are_accepted() -> None:
    pattern = "|".join(f"web-{i}" for i in range(9000))
    assert size_problem(f"cpu_user_pct{{server=~\"{pattern}\", site!='(((\\'', x=`[`}}") is None


@pytest.mark.parametrize("operator", ["+", "^", ">bool", "-", "or"])
def test_the_longest_expression_is_parsed(operator: str) -> None:
    term = f" {operator} a" if operator == "or" else f"{operator}1"
    text = ("a" if operator == "or" else "1") + term * ((MAX_UNQUOTED - 1) // len(term))
    assert size_problem(text) is None
    promql.parse(text)

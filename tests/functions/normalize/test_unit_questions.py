"""Questions about units: when they are put, in which words, and when not."""

from typing import Any

import pyarrow as pa
import pytest

from functions.normalize.mapping import read_mapping
from functions.normalize.unit_questions import UnitQuestions


def sentences(entries: dict[str, Any], **columns: list[float | None]) -> list[str]:
    questions = UnitQuestions(read_mapping({"metrics": entries}))
    for place in range(max(map(len, columns.values()))):  # a page a row
        questions.add(pa.table({n: pa.array(v[place : place + 1], pa.float32())
                                for n, v in columns.items()}))  # fmt: skip
    return questions.sentences()


def test_shares_that_are_all_below_one_are_asked_about_by_field_and_count() -> None:
    [sentence] = sentences({"mem_used_pct": {"field": "mem"}}, mem_used_pct=[0.45, None, 0.5])
    assert sentence == (
        "all 2 values of mem lie in 0–1: is the unit a fraction? Stored as percent; else write "
        'unit = "fraction" in mapping.metrics.mem_used_pct'
    )


def test_a_single_value_is_named_as_one() -> None:
    [sentence] = sentences({}, cpu_user_pct=[0.02])
    assert sentence.startswith("the value of cpu_user_pct is in 0–1")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"cpu_iowait_pct": [0.3], "mem_used_pct": [45]}, []),  # low, as it often is
        ({"cpu_iowait_pct": [0.3], "mem_used_pct": [0.45]}, ["cpu_iowait_pct", "mem_used_pct"]),
        ({"cpu_user_pct": [12], "disk_usage_pct": [0.9]}, ["disk_usage_pct"]),
        ({"swap_used_pct": [0, 0]}, []),  # a machine without swap
        ({"cpu_user_pct": [1]}, []),
        ({"mem_used_pct": [0.4, 1.2]}, []),
        ({"uptime_days": [5000, 9000]}, ["3650 days (10 years): is the unit seconds or hours?"]),
        ({"uptime_days": [0.1, 9000]}, []),
        ({"net_in_mb_s": [40_000]}, ["is the unit bytes or kilobytes per second?"]),
        ({"net_in_mb_s": [0, 40_000]}, []),
    ],
)
def test_only_what_no_machine_does_is_asked_about(
    columns: dict[str, list[float | None]], expected: list[str]
) -> None:
    questions = sentences({}, **columns)
    assert len(questions) == len(expected)
    assert all(word in question for word, question in zip(expected, questions, strict=True))


def test_a_stated_fraction_is_not_asked_about() -> None:
    entries = {"mem_used_pct": {"field": "mem", "unit": "fraction"}}
    assert sentences(entries, mem_used_pct=[0.45]) == []

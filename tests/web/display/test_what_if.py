"""A what-if as the page shows it."""

from typing import Any

from web.display.what_if import what_if


def forecast(metric: str, base: float, after: float | None) -> dict[str, Any]:
    def lists(value: float | None) -> dict[str, list[float]] | None:
        return None if value is None else {name: [value] * 96 for name in ("p10", "p50", "p90")}

    return {"metric": metric, "base": lists(base), "changed": lists(after)}


ANSWER: dict[str, Any] = {
    "issued_at": "2026-03-01T02:15:00+00:00",
    "changes": [
        {"metric": "mem_used_pct", "from": 80.0, "to": 64.0},
        {"metric": "cpu_idle_pct", "from": 70.0, "to": None},
    ],
    "forecasts": [
        forecast("load_average", 2.0, 2.001), forecast("cpu_idle_pct", 60.0, 75.0),
        forecast("mem_used_pct", 80.0, 40.0), forecast("swap_used_pct", 5.0, None),
    ],
}  # fmt: skip


def test_changes_are_in_words_and_effects_are_the_strongest_first() -> None:
    shown = what_if("x", ANSWER, "", False)
    assert shown.changes[0] == "Memory used 64 % in place of 80 % (last hour)"
    assert [each.label for each in shown.effects] == ["Memory used", "CPU used"]
    assert shown.effects[1].values == {"in 1 h": ("40 %", "25 %"), "in 8 h": ("40 %", "25 %")}


def test_each_metric_that_would_be_served_has_a_row_to_draw() -> None:
    rows = what_if("x", ANSWER, "", False).rows
    assert [row["metric"] for row in rows] == ["load_average", "cpu_idle_pct", "mem_used_pct"]
    assert rows[0]["issued_at"].isoformat() == ANSWER["issued_at"]


def test_without_an_answer_it_says_why() -> None:
    assert what_if("x:y", None, "'y' is not a change", True).refused
    assert what_if("x:y", None, "", False).error == "the engine gave no answer"

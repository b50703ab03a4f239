"""How far forecasts can be trusted, in words."""

from datetime import UTC, datetime
from typing import Any

from web.display.episodes import Record
from web.display.trust import (
    TrustFigures,
    between,
    coverage_rows,
    drift_parts,
    of_model,
    skill_rows,
    trust_sentences,
)

NOW = datetime(2026, 5, 6, tzinfo=UTC)
NOTHING = Record(None, 0, 0, 0, 0, 0, 0, 0, 0, None)


def skill(metric: str, seasonal: float | None, bucket: int | None = None) -> dict[str, Any]:
    return {
        "metric": metric, "bucket": bucket, "model": "m1", "skill": 0.4, "seasonal_skill": seasonal,
        "targets": 10,
    }  # fmt: skip


BAND = {
    "metric": None, "bucket": None, "model": "m1", "band": 80, "inside": 0.796,
    "inside_low": 0.781, "inside_high": 0.81, "replayed": 1.0, "targets": 5,
}  # fmt: skip
ACCURACY = {"bucket": None, "accuracy": 0.859, "model": "m1", "targets": 5}


def test_the_last_days_are_said_in_sentences() -> None:
    rows = [skill("mem_used_pct", 0.6), skill("load_average", -0.1), skill("a", 0.2, 60)]
    figures = TrustFigures(NOW, [BAND], rows, [ACCURACY], [])
    record = Record(NOW, 17, 12, 3, 0, 2, 0, 1, 0, 52.0)
    assert trust_sentences(figures, record) == [
        "80 % bands held 79.6 % (78.1–81.0).",
        "Better than yesterday's value in 1 of 2 metrics.",
        "86 % of the medians were within 10 % of the scale (goal 88 %).",
        "Warned 17: 12 right, 3 wrong, 2 averted; missed 1; median lead 52 min.",
    ]
    assert figures.replayed_text.startswith("All of these forecasts were made by a replay")


def test_before_the_first_score_nothing_is_said() -> None:
    empty = TrustFigures(None, [], [], [], [])
    assert trust_sentences(empty, NOTHING) == []
    assert (empty.band, empty.overall, empty.replayed_text) == (None, None, "")


def test_an_interval_that_is_not_known_is_left_out() -> None:
    row = BAND | {"inside_low": None, "inside_high": None, "replayed": 0.0}
    assert between(row, "inside") == ""
    figures = TrustFigures(NOW, [row], [], [], [])
    assert trust_sentences(figures, NOTHING) == ["80 % bands held 79.6 %."]
    assert figures.replayed_text == ""


def test_metrics_are_listed_with_the_lowest_skill_first() -> None:
    rows = skill_rows([skill("b", 0.5), skill("b", 0.3, 60), skill("a", None), skill("c", -0.2)])
    assert [(row.metric, row.loses) for row in rows] == [("c", True), ("a", False), ("b", False)]
    assert rows[2].by_lead[60]["seasonal_skill"] == 0.3


def test_rows_are_those_of_the_serving_model_or_of_the_one_with_the_most() -> None:
    rows = [{"model": "a", "targets": 5}, {"model": "b", "targets": 9}]
    assert of_model(rows, "a") == rows[:1]
    assert of_model(rows, "new") == rows[1:]
    assert of_model([], "a") == []


def test_the_parts_of_a_drift_have_their_limits() -> None:
    row = {
        "prediction_error": 0.2, "distribution_shift": 0.1, "feature_drift": None,
        "anomaly_rate": 0.05, "combined": 0.11,
    }  # fmt: skip
    assert [(part.over, part.limit) for part in drift_parts(row)] == [
        (True, 0.1), (False, 0.2), (False, 0.15), (False, 0.05), (True, 0.1),
    ]  # fmt: skip


def test_the_coverage_is_listed_by_lead_and_then_by_metric() -> None:
    rows = [
        {"metric": metric, "bucket": bucket, "band": band}
        for metric in ("b", None, "a") for bucket in (60, None) for band in (80, 50)
    ]  # fmt: skip
    groups = coverage_rows(rows)
    assert [(g[0]["metric"], g[0]["bucket"], [row["band"] for row in g]) for g in groups] == [
        (None, None, [50, 80]), (None, 60, [50, 80]), ("a", None, [50, 80]), ("b", None, [50, 80]),
    ]  # fmt: skip

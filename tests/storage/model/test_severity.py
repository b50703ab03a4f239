"""Severity levels, health statuses and alert levels: order, names and response times."""

import re

import pytest

from storage.model.severity import (
    HEALTH_STATUSES,
    SEVERITIES,
    STALE,
    WARNING,
    AlertLevel,
    severity_of,
)


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (100, "Imminent failure"), (90, "Imminent failure"), (89.9, "Critical"), (70, "Danger"),
        (60, "Warning"), (50, "Degrading"), (49, "Watch"), (0, "Healthy"),
    ],
)  # fmt: skip
def test_a_score_has_the_severity_of_its_range(score: float, name: str) -> None:
    assert severity_of(score).name == name


def test_the_lowest_scores_are_healthy() -> None:
    assert severity_of(-0.1) == SEVERITIES[-1]


def test_a_worse_severity_never_allows_more_time() -> None:
    minutes = [s.respond_within_minutes or 10_000 for s in SEVERITIES]
    assert minutes == sorted(minutes)
    assert [s.respond_within_minutes for s in SEVERITIES[-2:]] == [None, None]


def test_health_statuses_are_ordered_worst_first_and_have_unique_slugs_and_names() -> None:
    ranks = [status.rank for status in HEALTH_STATUSES]
    assert ranks == sorted(ranks, reverse=True)
    assert len({s.slug for s in HEALTH_STATUSES}) == len(HEALTH_STATUSES)
    assert len({s.name for s in HEALTH_STATUSES}) == len(HEALTH_STATUSES)
    assert all(re.fullmatch("[a-z]+", s.slug) for s in HEALTH_STATUSES)


def test_a_stale_server_ranks_between_warning_and_degrading() -> None:
    order = [status.name for status in HEALTH_STATUSES]
    assert order.index(WARNING.name) < order.index(STALE.name) < order.index("Degrading")


def test_alert_levels_are_ordered_most_urgent_first() -> None:
    levels = [AlertLevel.OK, AlertLevel.CRITICAL, AlertLevel.WARNING]
    assert [level.value for level in sorted(levels, key=lambda each: each.order)] == [
        "critical", "warning", "ok",
    ]  # fmt: skip

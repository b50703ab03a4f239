import pytest

from storage.model.severity import SEVERITIES, severity_of


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (100, "Imminent failure"), (90, "Imminent failure"), (89.9, "Critical"), (80, "Critical"),
        (70, "Danger"), (60, "Warning"), (50, "Degrading"), (49, "Watch"), (30, "Watch"),
        (29.99, "Healthy"), (0, "Healthy"),
    ],
)  # fmt: skip
def test_a_score_has_the_highest_severity_whose_floor_it_reaches(score: float, name: str) -> None:
    assert severity_of(score).name == name


@pytest.mark.parametrize("score", [-1.0, float("nan")])
def test_a_score_below_every_floor_is_healthy(score: float) -> None:
    assert severity_of(score).name == "Healthy"


def test_a_higher_severity_leaves_less_time_to_respond() -> None:
    floors = [level.floor for level in SEVERITIES]
    assert floors == sorted(floors, reverse=True)
    minutes = [level.respond_within_minutes for level in SEVERITIES]
    assert minutes == [5, 15, 30, 60, 120, None, None]

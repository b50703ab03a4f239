import math

import pytest

from functions.rules.drift.loss_check import LossCheck
from functions.rules.drift.wording import fleet_sentence, server_sentence

DOUBLED = LossCheck(math.log(2), math.log(1.5))
BETTER = LossCheck(math.log(0.9), math.log(0.8))
UNKNOWN = LossCheck(math.nan, math.nan)


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (DOUBLED, "forecasts lose 100 % more than in the reference week, at least 50 % more"),
        (
            BETTER,
            "forecasts lose 10 % less than in the reference week; beyond its noise that is not 5 % "
            "more (over 9 servers)",
        ),
        (UNKNOWN, "not judged yet: it needs three days of scores with the same hours of the week"),
    ],
)
def test_a_fleet_is_told_how_much_it_loses_and_how_sure_that_is(
    check: LossCheck, says: str
) -> None:
    assert fleet_sentence(check, 9) == says


@pytest.mark.parametrize(
    ("check", "distance", "metric", "says"),
    [
        (BETTER, 0.29, "load_average", None),
        (UNKNOWN, math.nan, None, None),
        (DOUBLED, math.nan, None, "its forecasts lose 100 % more than in the reference week"),
        (
            BETTER,
            0.3,
            "load_average",
            "its readings are others than in the week before (KS 0.30), most of all load_average",
        ),
    ],
)
def test_a_server_is_named_by_its_loss_or_by_its_readings(
    check: LossCheck, distance: float, metric: str | None, says: str | None
) -> None:
    assert server_sentence(check, distance, metric) == says

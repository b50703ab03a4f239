from datetime import timedelta

import pytest

from storage.model.periods import parse_period


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("5s", 5), ("1.5m", 90), ("1h", 3600), ("1d", 86_400)]
)
def test_a_period_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_period(text) == timedelta(seconds=seconds)

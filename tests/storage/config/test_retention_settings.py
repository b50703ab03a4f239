from datetime import timedelta

import pytest

from storage.config.retention_settings import retention_of, stock_retention


@pytest.mark.parametrize(
    ("text", "period"),
    [("7d", timedelta(days=7)), ("36h", timedelta(hours=36)), ("always", None)],
)
def test_a_retention_is_a_period_or_always(text: str, period: timedelta | None) -> None:
    assert retention_of("metrics", text) == period


@pytest.mark.parametrize("text", ["2h", "7 weeks", "d", "99999d"])
def test_less_than_a_day_and_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"retention.metrics is '{text}', expected 'always' or"):
        retention_of("metrics", text)


def test_a_table_that_is_always_kept_has_none() -> None:
    assert "models" not in stock_retention()
    with pytest.raises(ValueError, match="retention has 'models', expected one of metrics"):
        retention_of("models", "7d")

import pytest

from functions.delivery.message_context import MessageContext, _record_text
from storage.model.metrics import METRICS
from storage.model.schema import table
from tests.functions.delivery.messages import NOW


def row(**fields: object) -> dict[str, object]:
    known = {"episode": "e1", "ts": NOW, "event": "opened", "phase": "predicted"}
    return dict.fromkeys(table("alert_events").names) | known | fields


def context(public_url: str = "") -> MessageContext:
    metrics = {metric.name: metric for metric in METRICS}
    return MessageContext(metrics, {}, {}, {}, {}, public_url)


def test_a_row_with_nothing_known_is_a_message_all_the_same() -> None:
    made = context("https://hs.example").message(row())
    assert (made.episode, made.label, made.usual, made.trust, made.url) == ("e1",) + (None,) * 4


def test_without_an_address_of_the_site_there_is_no_link() -> None:
    assert context().message(row(server="db-7")).url is None


def test_missing_data_asks_for_another_step_than_its_metric() -> None:
    made = context().message(row(phase="no data", metric="disk_usage_pct"))
    assert made.next_step is not None
    assert made.next_step.startswith("Check whether the host answers")


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((0, 0, 0), ""),
        ((12, 3, 0), "12 of 15 warnings of this rule came true in 30 days"),
        ((12, 3, 2), "12 of 15 warnings of this rule came true in 30 days, 2 averted"),
        ((0, 0, 2), "2 averted"),
    ],
)
def test_the_record_of_a_rule_counts_averted_warnings_apart(
    counts: tuple[int, int, int], text: str
) -> None:
    assert _record_text("r", *counts) == text

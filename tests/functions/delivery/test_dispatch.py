import importlib
import inspect
import pkgutil
from datetime import datetime, timedelta
from typing import get_type_hints

import pytest

from functions.delivery import channels
from functions.delivery.dispatch import Channel, Dispatch, SendOutcome, SendResult
from storage.model.schema import table
from tests.functions.delivery.messages import dispatch, message

CHANNELS = [
    kind
    for module in pkgutil.iter_modules(channels.__path__, f"{channels.__name__}.")
    for kind in vars(importlib.import_module(module.name)).values()
    if inspect.isclass(kind) and kind.__name__.endswith("Channel")
    and kind.__module__ == module.name
]  # fmt: skip


def test_there_is_a_channel_for_each_kind_of_receiver() -> None:
    assert len(CHANNELS) == 7


@pytest.mark.parametrize("kind", CHANNELS, ids=lambda kind: kind.__name__)
def test_each_channel_sends_previews_and_closes(kind: type[Channel]) -> None:
    assert get_type_hints(kind.send)["return"] is SendResult
    assert get_type_hints(kind.preview) | {"self": None} == {
        "dispatch": Dispatch, "now": datetime, "return": str, "self": None,
    }  # fmt: skip
    assert callable(kind.close)
    assert kind.refresh_pause >= timedelta(0)


def test_each_outcome_is_one_that_the_table_of_deliveries_names() -> None:
    (column,) = (c for c in table("deliveries").columns if c.name == "outcome")
    assert all(outcome.value in column.meaning for outcome in SendOutcome)


def test_a_message_is_a_first_attempt_unless_it_says_so() -> None:
    first = Dispatch("e1/critical/oncall", "e1", "critical", "open", "oncall", message(), message())
    assert (first.receipt, first.may_have_arrived) == (None, False)
    assert dispatch(may_have_arrived=True).may_have_arrived


def test_an_answer_alone_pauses_nothing_and_is_not_tried_again_later() -> None:
    answer = SendResult(SendOutcome.FAILED)
    assert (answer.retry_after, answer.pause, answer.may_have_arrived) == (
        timedelta(0),
        False,
        False,
    )

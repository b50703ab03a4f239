from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.delivery.routing import DeliveryKey, EpisodeEvent, Order, route
from storage.config.channel_settings import (
    AppriseSettings,
    Channel,
    PagerdutySettings,
    WebhookSettings,
)
from tests.functions.delivery.messages import NOW, event

CHANNELS: dict[str, Channel] = {
    "oncall": PagerdutySettings(routing_key_env="KEY"),
    "hook": WebhookSettings(url="https://hook.example", secret_file="f"),  # noqa: S106 - its name
    "sms": AppriseSettings(url_env="URL"),
}


def key(level: str = "critical", channel: str = "oncall", **fields: Any) -> DeliveryKey:
    known: dict[str, Any] = {"rank": 80.0, "escalation": 0, "state": "open", "phase": "predicted"}
    return DeliveryKey(f"e1/{level}/{channel}", "e1", level, channel, **known | fields)


def made(happened: EpisodeEvent, *keys: DeliveryKey) -> list[tuple[str, str]]:
    return [(o.action, o.delivery) for o in route(happened, keys, CHANNELS)]


@pytest.mark.parametrize(
    ("happened", "keys", "orders"),
    [
        (event(), (), [("open", "e1/critical/oncall")]),
        (event(channels="oncall, hook,oncall"), (),
         [("open", "e1/critical/oncall"), ("open", "e1/critical/hook")]),
        (event(channels=None), (), []),
        (event(), (key(),), []),
        (event("changed", "breached"), (key(),), [("update", "e1/critical/oncall")]),
        (event("changed"), (key(channel="hook"),),
         [("open", "e1/critical/oncall"), ("update", "e1/critical/hook")]),
        (event("changed", severity="warning"), (key(),), []),
        (event("changed", severity="imminent"), (key(),),
         [("open", "e1/imminent/oncall"), ("resolve", "e1/critical/oncall")]),
        (event("escalated", escalation=1), (key(),),
         [("open", "e1/critical step 1/oncall"), ("resolve", "e1/critical/oncall")]),
        (event("escalated", escalation=1), (key(), key("critical step 1", escalation=1)), []),
        (event("escalated", escalation=1, severity="Imminent failure"),
         (key("critical step 1", escalation=1, state="closed"), key("imminent", rank=90.0)),
         [("open", "e1/imminent step 1/oncall"), ("resolve", "e1/imminent/oncall")]),
        (event(), (key(state="unknown"),), [("open", "e1/critical/oncall")]),
        (event("escalated", escalation=1, channels="hook"), (key(),),
         [("open", "e1/critical step 1/hook")]),
        (event("acknowledged"), (key(), key(channel="sms")),
         [("acknowledge", "e1/critical/oncall")]),
        (event("closed", "over", channels=None), (key(), key(channel="hook", state="closed")),
         [("resolve", "e1/critical/oncall")]),
        (event("closed", "withdrawn"), (key(state="refused"),), []),
        (event("closed", "over"), (), []),
    ],
)  # fmt: skip
def test_an_event_makes_the_messages_that_are_new(
    happened: EpisodeEvent, keys: tuple[DeliveryKey, ...], orders: list[tuple[str, str]]
) -> None:
    assert made(happened, *keys) == orders


def test_a_higher_level_replaces_the_lower_where_nothing_can_be_resolved() -> None:
    happened = event("changed", severity="imminent", channels="sms")
    orders = route(happened, [key(channel="sms")], CHANNELS)
    assert [(o.action, o.drop is None) for o in orders] == [("open", True), ("resolve", False)]


EVENTS = st.builds(
    EpisodeEvent,
    episode=st.just("e1"), ts=st.just(NOW),
    event=st.sampled_from(["opened", "changed", "escalated", "acknowledged", "closed"]),
    phase=st.sampled_from(["predicted", "breached", "no data", "over", "withdrawn", "averted"]),
    severity=st.sampled_from(["watch", "warning", "critical", "imminent", None]),
    escalation=st.integers(0, 3),
    channels=st.sampled_from([None, "oncall", "hook,sms", "oncall,hook,sms", "elsewhere"]),
)  # fmt: skip


def applied(order: Order, happened: EpisodeEvent, keys: list[DeliveryKey]) -> list[DeliveryKey]:
    rest = [k for k in keys if k.delivery != order.delivery]
    if order.action == "open":
        new = key(
            order.level, order.channel, rank=happened.rank, phase=happened.phase,
            escalation=happened.escalation,
        )  # fmt: skip
        return [*rest, new]
    old = next(k for k in keys if k.delivery == order.delivery)
    state = "closed" if order.action == "resolve" else "open"
    return [*rest, key(
        old.level, old.channel, rank=old.rank, escalation=old.escalation, state=state,
        phase=happened.phase,
    )]  # fmt: skip


@given(st.lists(EVENTS, max_size=12))
def test_each_key_opens_once_and_only_what_is_open_is_updated_or_resolved(
    events: list[EpisodeEvent],
) -> None:
    keys: list[DeliveryKey] = []
    opened: set[str] = set()
    for happened in events:
        for order in route(happened, keys, CHANNELS):
            if order.action == "open":
                assert order.delivery not in opened
                opened.add(order.delivery)
            else:
                assert any(k.delivery == order.delivery and k.is_live for k in keys)
            keys = applied(order, happened, keys)
        live = [k.channel for k in keys if k.is_live]
        assert len(live) == len(set(live))
        assert not (happened.is_closing and live)

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.delivery.routing import DeliveryKey, EpisodeEvent, GroupEvent, Order, route
from functions.rules.alerts.episode import Memory
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
    return [(o.action, o.delivery) for o in route(GroupEvent.alone(happened), keys, CHANNELS)]


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
    orders = route(GroupEvent.alone(happened), [key(channel="sms")], CHANNELS)
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
        for order in route(GroupEvent.alone(happened), keys, CHANNELS):
            if order.action == "open":
                assert order.delivery not in opened
                opened.add(order.delivery)
            else:
                assert any(k.delivery == order.delivery and k.is_live for k in keys)
            keys = applied(order, happened, keys)
        live = [k.channel for k in keys if k.is_live]
        assert len(live) == len(set(live))
        assert not (happened.is_closing and live)


def told(episode: str, phase: str = "predicted", **fields: Any) -> EpisodeEvent:
    """The newest event of an episode of the group of e1, of which `sent_to` has heard."""
    memory = Memory(
        opened_at=NOW,
        sent_to=fields.pop("sent_to", ("oncall",)),
        answered_by=fields.pop("by", None),
    )
    known: dict[str, Any] = {"severity": "critical", "escalation": 0, "channels": "oncall"}
    known["event"] = "opened"
    return EpisodeEvent(
        episode=episode, ts=NOW, phase=phase, group_id="e1",
        state=msgspec.json.encode(memory).decode(), **known | fields,
    )  # fmt: skip


def orders_of(
    events: list[EpisodeEvent], others: list[EpisodeEvent], *keys: DeliveryKey
) -> list[tuple[str, str]]:
    happened = GroupEvent(tuple(events), (*events, *others))
    return [(o.action, o.delivery) for o in route(happened, keys, CHANNELS)]


LOW: dict[str, Any] = {"level": "warning", "rank": 60.0}


@pytest.mark.parametrize(
    ("events", "others", "keys", "orders"),
    [
        # The first cycle: one message for all.
        ([told("e1"), told("e2")], [], [], [("open", "e1/critical/oncall")]),
        # One that joins edits it, one that leaves too, and the last one resolves it.
        ([told("e2")], [told("e1")], [key()], [("update", "e1/critical/oncall")]),
        ([told("e1", "over")], [told("e2")], [key(phase="predicted, 2")],
         [("update", "e1/critical/oncall")]),
        ([told("e2", "over")], [told("e1", "withdrawn")], [key()],
         [("resolve", "e1/critical/oncall")]),
        # A page is never hidden behind a warning.
        ([told("e2")], [told("e1", severity="warning")], [key(**LOW)],
         [("open", "e2/critical/oncall"), ("resolve", "e1/warning/oncall")]),
        # A channel hears of those that are sent to it, and no longer.
        ([told("e2", "over")], [told("e1", channels="hook", sent_to=("hook",))],
         [key(), key(channel="hook")], [("resolve", "e1/critical/oncall")]),
        # What joins after the page was over is a page again.
        ([told("e3")], [told("e1", "over"), told("e2", channels="hook", sent_to=("hook",))],
         [key(state="closed")], [("open", "e3/critical/oncall")]),
        # One answer for all; with one that nobody answered for it stays open.
        ([told("e1", event="acknowledged", by="ann"), told("e2", event="acknowledged", by="ann")],
         [], [key()], [("acknowledge", "e1/critical/oncall")]),
        ([told("e1", event="acknowledged", by="ann")], [told("e2")], [key(phase="predicted, 2")],
         []),
        # The second escalation of a group is not another message.
        ([told("e2", event="escalated", escalation=1)], [told("e1", escalation=1)],
         [key("critical step 1", escalation=1, phase="predicted, 2")], []),
    ],
)  # fmt: skip
def test_a_group_is_one_message_on_each_channel(
    events: list[EpisodeEvent],
    others: list[EpisodeEvent],
    keys: list[DeliveryKey],
    orders: list[tuple[str, str]],
) -> None:
    assert orders_of(events, others, *keys) == orders


@given(st.permutations(["warning", "critical", "imminent", "warning"]))
def test_the_open_message_of_a_group_has_the_level_of_its_worst(severities: list[str]) -> None:
    keys: list[DeliveryKey] = []
    members: list[EpisodeEvent] = []
    for number, severity in enumerate(severities):
        event_ = told(f"e{number}", severity=severity)
        happened = GroupEvent((event_,), (*members, event_))
        for order in route(happened, keys, CHANNELS):
            if order.action == "open":
                new = DeliveryKey(
                    order.delivery, "e1", order.level, "oncall", order.rank, 0, "open", order.phase
                )
                keys = [new]
        members.append(event_)
        assert keys[0].rank == max(member.rank for member in members)


def test_who_joins_can_wait_where_nothing_is_edited_and_a_breach_cannot() -> None:
    happened = GroupEvent((told("e2"),), (told("e1"), told("e2")))
    (order,) = route(happened, [key()], CHANNELS)
    assert (order.can_wait, order.phase) == (True, "predicted, 2")
    happened = GroupEvent((told("e2", "breached"),), (told("e1"), told("e2", "breached")))
    (order,) = route(happened, [key()], CHANNELS)
    assert not order.can_wait

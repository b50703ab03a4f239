import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.delivery.dispatch import SendOutcome, SendResult
from functions.delivery.outbox import GIVE_UP_AFTER, LEASE, Outbox, always, back_off
from functions.delivery.routing import EpisodeEvent, GroupEvent
from storage.config.channel_settings import (
    Channel,
    MailSettings,
    PagerdutySettings,
    WebhookSettings,
)
from storage.config.folders import Folders
from storage.platform import failpoints
from tests.functions.delivery.messages import NOW, event, message

CHANNELS: dict[str, Channel] = {
    "oncall": PagerdutySettings(routing_key_env="KEY"),
    "hook": WebhookSettings(url="https://hook.example", secret_file="f"),  # noqa: S106 - its name
    "mail": MailSettings(host="h", sender="a@b.c", to=["d@e.f"]),
}
SENT = SendResult(SendOutcome.SENT, status=202, receipt="r1")
SOON = timedelta(minutes=10)


class Killed(BaseException):
    """Ends the process as far as a test can see."""


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(Folders.at(tmp_path), random.Random(1)) as opened:
        opened.seed([], NOW)
        yield opened


def put(outbox: Outbox, happened: EpisodeEvent, now: datetime = NOW) -> int:
    return outbox.enqueue(
        happened, CHANNELS, lambda _: message(ts=happened.ts, phase=happened.phase), now
    )


def sent(outbox: Outbox, channel: str, now: datetime, answer: SendResult = SENT) -> list[str]:
    """Send all that is due; returns the actions."""
    actions = []
    while (leased := outbox.lease(channel, now)) is not None:
        outbox.record(leased, answer, now)
        actions.append(leased.dispatch.action)
    return actions


def outcomes(outbox: Outbox) -> list[tuple[str, str]]:
    return [(row["action"], row["outcome"]) for row in outbox.outcomes_after(0)[0]]


def test_an_event_is_one_message_however_often_it_is_enqueued(outbox: Outbox) -> None:
    assert [put(outbox, event()) for _ in range(3)] == [1, 0, 0]
    put(outbox, event("changed", after=1))
    assert sent(outbox, "oncall", NOW) == ["open"]
    assert outcomes(outbox) == [("open", "queued"), ("open", "sent")]


def test_messages_of_a_key_go_in_their_order_and_the_receipt_goes_along(outbox: Outbox) -> None:
    put(outbox, event(channels="hook"))
    leased = outbox.lease("hook", NOW)
    put(outbox, event("changed", "breached", channels="hook", after=1))
    assert outbox.lease("hook", NOW + SOON / 10) is None  # the first is on its way
    outbox.record(leased, SENT, NOW)
    update = outbox.lease("hook", NOW)
    assert (update.dispatch.action, update.dispatch.receipt) == ("update", "r1")
    put(outbox, event("closed", "over", after=2))
    outbox.record(update, SENT, NOW)
    assert sent(outbox, "hook", NOW) == ["resolve"]


def test_a_failed_message_is_tried_again_later_and_no_sooner_than_the_receiver_asks(
    outbox: Outbox,
) -> None:
    put(outbox, event())
    busy = SendResult(SendOutcome.FAILED, "busy", 429, retry_after=timedelta(seconds=90))
    outbox.record(outbox.lease("oncall", NOW), busy, NOW)
    assert outbox.lease("oncall", NOW + timedelta(seconds=89)) is None
    again = outbox.lease("oncall", NOW + timedelta(seconds=91))
    assert (again.attempt, again.dispatch.may_have_arrived) == (2, False)
    row = outbox.outcomes_after(0)[0][-1]
    assert (row["outcome"], row["status"], row["next_at"]) == (
        "failed", 429, NOW + timedelta(seconds=90),
    )  # fmt: skip


def test_a_refused_opening_message_is_never_tried_again_and_takes_the_others_with_it(
    outbox: Outbox,
) -> None:
    put(outbox, event(channels="hook"))
    put(outbox, event("changed", channels="hook", after=1))
    outbox.record(outbox.lease("hook", NOW), SendResult(SendOutcome.REFUSED, "bad key", 400), NOW)
    put(outbox, event("closed", "over", after=2))
    assert sent(outbox, "hook", NOW + timedelta(days=1)) == []
    assert outcomes(outbox)[-2:] == [("update", "dropped"), ("open", "refused")]


def test_a_refused_message_that_was_sent_by_hand_is_resolved_in_the_end(outbox: Outbox) -> None:
    put(outbox, event())
    leased = outbox.lease("oncall", NOW)
    outbox.record(leased, SendResult(SendOutcome.REFUSED, "bad key", 400), NOW)
    outbox.note_sent_by_hand(leased.dispatch, SENT, NOW)
    put(outbox, event("closed", "over", after=2))
    assert sent(outbox, "oncall", NOW) == ["resolve"]


def test_a_resolve_goes_only_where_its_open_went(outbox: Outbox) -> None:
    put(outbox, event(channels="oncall,hook"))
    sent(outbox, "oncall", NOW)
    put(outbox, event("closed", "over", after=1))
    assert sent(outbox, "oncall", NOW) == ["resolve"]
    assert sent(outbox, "hook", NOW) == []
    rows = [(r["channel"], r["outcome"], r["detail"]) for r in outbox.outcomes_after(0)[0]]
    assert ("hook", "dropped", "the episode ended before its message could be sent") in rows


def test_where_the_open_may_have_arrived_it_is_sent_again_before_its_resolve(
    outbox: Outbox,
) -> None:
    put(outbox, event())
    late = SendResult(SendOutcome.FAILED, "no answer", may_have_arrived=True)
    outbox.record(outbox.lease("oncall", NOW), late, NOW)
    put(outbox, event("closed", "over", after=1))
    assert sent(outbox, "oncall", NOW + SOON) == ["open", "resolve"]


def test_a_message_that_fails_for_a_day_is_given_up_in_words_and_a_resolve_is_not(
    outbox: Outbox,
) -> None:
    put(outbox, event())
    sent(outbox, "oncall", NOW)
    put(outbox, event("closed", "over", after=2))
    failed, now = SendResult(SendOutcome.FAILED, "HTTP 500", may_have_arrived=True), NOW
    for _ in range(12):
        now += GIVE_UP_AFTER / 11
        outbox.record(outbox.lease("oncall", now), failed, now)
    assert outcomes(outbox)[-1] == ("resolve", "failed")
    assert sent(outbox, "oncall", now + SOON) == ["resolve"]


def test_a_machine_that_was_off_for_a_day_tries_again(outbox: Outbox) -> None:
    put(outbox, event())
    now, failed = NOW + GIVE_UP_AFTER + SOON, SendResult(SendOutcome.FAILED, "HTTP 500")
    for _ in range(10):
        outbox.record(outbox.lease("oncall", now), failed, now)
        now += SOON
    assert outbox.lease("oncall", now + timedelta(days=1)) is None
    details = [row["detail"] for row in outbox.outcomes_after(0)[0]]
    assert details[-2:] == ["HTTP 500", "given up after 10 attempts: HTTP 500"]


def test_of_updates_that_wait_the_newest_alone_is_sent(outbox: Outbox) -> None:
    put(outbox, event(channels="hook"))
    for minute in range(1, 5):
        put(outbox, event("changed", channels="hook", after=minute))
    assert sent(outbox, "hook", NOW) == ["open", "update"]


def test_a_channel_that_the_settings_do_not_have_is_refused_in_words(outbox: Outbox) -> None:
    put(outbox, event(channels="oncal"))
    row = outbox.outcomes_after(0)[0][-1]
    assert (row["outcome"], row["kind"]) == ("refused", None)
    assert row["detail"].startswith("the settings have no channel 'oncal' (there are: hook, mail")


def test_mail_of_a_lower_level_is_not_followed_by_a_resolve(outbox: Outbox) -> None:
    put(outbox, event(channels="mail"))
    sent(outbox, "mail", NOW)
    put(outbox, event("changed", severity="imminent", channels="mail", after=1))
    put(outbox, event("closed", "over", after=2))
    assert sent(outbox, "mail", NOW) == []
    assert ("resolve", "dropped") in outcomes(outbox)


def test_open_messages_are_due_for_a_refresh_until_they_are_resolved(outbox: Outbox) -> None:
    put(outbox, event(channels="hook"))
    sent(outbox, "hook", NOW)
    assert outbox.due_for_refresh("hook", NOW - SOON) == []
    due = outbox.due_for_refresh("hook", NOW)
    assert [(d.action, d.receipt) for d in due] == [("update", "r1")]
    outbox.refreshed(due[0].delivery, NOW + SOON)
    assert outbox.due_for_refresh("hook", NOW) == []


def test_a_new_outbox_knows_from_the_lake_what_was_sent(tmp_path: Path) -> None:
    row = {"episode": "e1", "level": "critical", "channel": "oncall", "kind": "pagerduty",
           "delivery": "e1/critical/oncall", "receipt": "r1"}  # fmt: skip
    with Outbox(Folders.at(tmp_path)) as outbox:
        assert outbox.is_new
        outbox.seed([row | {"action": "open", "outcome": "sent"}], NOW)
        assert not outbox.is_new
        put(outbox, event())
        put(outbox, event("closed", "over", after=1))
        assert sent(outbox, "oncall", NOW) == ["resolve"]


def test_what_is_old_and_done_is_removed_and_what_is_open_stays(outbox: Outbox) -> None:
    put(outbox, event(channels="oncall,hook"))
    sent(outbox, "oncall", NOW)
    put(outbox, event("closed", "over", after=1))
    number = outbox.outcomes_after(0)[1]
    outbox.prune(number, NOW + timedelta(days=31))
    assert outbox.outcomes_after(0) == ([], 0)
    assert [key.channel for key in outbox.keys_of("e1")] == ["oncall"]


def test_no_two_take_the_same_message_and_a_late_record_counts_for_nothing(
    outbox: Outbox, tmp_path: Path
) -> None:
    put(outbox, event())
    slow = outbox.lease("oncall", NOW)
    with Outbox(Folders.at(tmp_path)) as other:
        assert other.lease("oncall", NOW) is None
        taken = other.lease("oncall", NOW + LEASE)
        assert taken.dispatch.may_have_arrived
        other.record(taken, SENT, NOW + LEASE)
    outbox.record(slow, SendResult(SendOutcome.FAILED, "late"), NOW + LEASE)
    assert outcomes(outbox) == [("open", "queued"), ("open", "sent")]


POINTS = [point for point in failpoints.POINTS if point.startswith("delivery: ")]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_step_loses_no_message_and_sends_it_again_under_its_key(
    tmp_path: Path, point: str
) -> None:
    def killed() -> None:
        raise Killed

    deliveries: list[str] = []
    failpoints.arm(point, act=killed)
    now = NOW
    for _ in range(2):
        with Outbox(Folders.at(tmp_path)) as outbox:
            try:
                put(outbox, event())
                while (leased := outbox.lease("oncall", now)) is not None:
                    deliveries.append(leased.dispatch.delivery)
                    outbox.record(leased, SENT, now)
            except Killed:
                now += LEASE
    with Outbox(Folders.at(tmp_path)) as outbox:
        assert outcomes(outbox)[-1] == ("open", "sent")
        assert outbox.lease("oncall", now + SOON) is None
    assert set(deliveries) == {"e1/critical/oncall"}
    assert len(deliveries) == (2 if point in ("delivery: sent",) else 1)


@given(st.integers(1, 200), st.integers(0, 1000))
def test_the_pause_grows_from_seconds_to_minutes(attempt: int, seed: int) -> None:
    pause_s = back_off(attempt, random.Random(seed)).total_seconds()
    assert 2.5 <= pause_s <= 450
    assert attempt > 1 or pause_s <= 7.5
    assert attempt < 8 or pause_s >= 150


def joined(number: int, *, phase: str = "predicted") -> GroupEvent:
    """The episode of this number opens in the group of e1, whose others are open."""
    events = [
        EpisodeEvent(
            f"e{i}", NOW + timedelta(minutes=i), "opened", phase, "critical", 0, "oncall", "e1"
        )
        for i in range(1, number + 1)
    ]  # fmt: skip
    return GroupEvent((events[-1],), tuple(events))


def put_group(outbox: Outbox, happened: GroupEvent) -> int:
    made = message(ts=happened.ts)
    return outbox.enqueue_all([(happened, always(made))], CHANNELS, happened.ts)


def test_those_who_join_are_told_together_where_nothing_is_edited(outbox: Outbox) -> None:
    put_group(outbox, joined(1))
    assert sent(outbox, "oncall", NOW + timedelta(minutes=1)) == ["open"]
    for number in (2, 3, 4):
        put_group(outbox, joined(number))
    assert sent(outbox, "oncall", NOW + timedelta(minutes=5)) == []
    assert sent(outbox, "oncall", NOW + timedelta(minutes=6)) == ["update"]
    put_group(outbox, joined(7, phase="breached"))
    assert sent(outbox, "oncall", NOW + timedelta(minutes=7)) == ["update"]


def test_a_group_is_opened_once_on_a_channel_however_often_its_events_come(
    outbox: Outbox,
) -> None:
    for number in (2, 1, 4, 2, 6, 3):
        put_group(outbox, joined(number))
        assert put_group(outbox, joined(number)) == 0
    assert sent(outbox, "oncall", NOW + timedelta(days=1)).count("open") == 1

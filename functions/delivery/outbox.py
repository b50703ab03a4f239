"""Outbox: messages to deliver, each with a unique key; it survives a kill at any step.

Each change is one transaction. A message is leased before it is sent and recorded after it: a kill
between the two sends it again, under the same key.
"""

import random
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from functions.delivery.dispatch import Dispatch, SendOutcome, SendResult
from functions.delivery.message import Message
from functions.delivery.outbox_reading import OutboxReading, dispatch_of, seconds
from functions.delivery.routing import EpisodeEvent, GroupEvent, Order, route
from storage.config.channel_settings import ChannelSettings
from storage.config.folders import Folders
from storage.platform.failpoints import failpoint

__all__ = ["GIVE_UP_AFTER", "LEASE", "Leased", "Outbox", "always", "back_off"]

LEASE = timedelta(minutes=2)  # longer than any attempt to send
GIVE_UP_AFTER = timedelta(hours=24)
LEAST_ATTEMPTS = 10  # this machine may have been off for a day
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
# Who joined or left is told to a receiver that cannot edit no sooner after the message before it.
JOINS_EVERY = timedelta(minutes=5)
KEPT = timedelta(days=30)  # after an episode was closed

Channels = Mapping[str, ChannelSettings]
MessageOf = Callable[[Order], Message]

_OUTCOME = (
    "INSERT INTO outcomes (delivery, ts, episode, level, action, channel, kind, outcome, attempt, "
    "status, next_at, receipt, detail) SELECT delivery, :ts, episode, level, :action, channel, "
    "kind, :outcome, :attempt, :status, :next_at, :receipt, :detail FROM keys "
    "WHERE delivery = :delivery"
)
# The oldest message of a key goes first, whether it is due or not.
_DUE = """
SELECT entries.*, keys.level, keys.episode, keys.channel, keys.kind, keys.receipt, keys.opened
FROM entries JOIN keys USING (delivery)
WHERE channel = :channel AND entries.state = 'queued' AND next_at <= :now AND leased_until <= :now
  AND NOT EXISTS (
    SELECT 1 FROM entries AS earlier
    WHERE earlier.delivery = entries.delivery AND earlier.entry < entries.entry
      AND earlier.state = 'queued'
  )
ORDER BY next_at, entry LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Leased:
    """A message that is to be sent now, and nobody else sends meanwhile."""

    entry: int
    lease: str
    attempt: int
    dispatch: Dispatch


def always(message: Message) -> MessageOf:
    """Return a function that returns this message for every order."""
    return lambda _: message


def back_off(attempt: int, rng: random.Random) -> timedelta:
    """Return the pause after the attempt of this number (from 1): 5 s to 5 min, ± a half."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 10))
    return timedelta(seconds=longest * rng.uniform(0.5, 1.5))


def _is_hopeless(row: sqlite3.Row, now: datetime) -> bool:
    """Return True if an entry has failed for too long; a resolve is tried for longest."""
    longest = KEPT if row["action"] == "resolve" else GIVE_UP_AFTER
    old = seconds(now) - row["created_at"] > longest.total_seconds()
    return old and int(row["attempts"]) >= LEAST_ATTEMPTS


class Outbox(OutboxReading):
    """The outbox of a data folder; one object is of one thread."""

    def __init__(self, folders: Folders, rng: random.Random | None = None) -> None:
        super().__init__(folders.outbox)
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries

    def seed(self, deliveries: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Take from rows of the table `deliveries` which messages were sent by an earlier outbox.

        Each row has delivery, episode, level, channel, kind, action, outcome and receipt, oldest
        first.
        """
        with self.transaction():
            for row in deliveries:
                self._seed_key(row, now)
            self.execute("UPDATE about SET seeded = 1")

    def _seed_key(self, row: Mapping[str, Any], now: datetime) -> None:
        state = {"open": "open", "resolve": "closed"}.get(row["action"])
        if row["outcome"] in ("refused", "dropped") and row["action"] == "open":
            state = "refused"
        severity, _, step = row["level"].partition(" step ")
        level = EpisodeEvent(row["episode"], now, "", "", severity=severity)
        self.execute(
            "INSERT OR IGNORE INTO keys VALUES "
            "(:delivery, :episode, :level, :channel, :kind, :rank, :escalation, 'open', '', "
            "NULL, NULL, :receipt, 0, :now)",
            row, rank=level.rank, escalation=int(step) if step.isdigit() else 0, now=seconds(now),
        )  # fmt: skip
        if state:
            self.execute(
                "UPDATE keys SET state = :state WHERE delivery = :delivery", row, state=state
            )

    def enqueue(
        self, event: EpisodeEvent, channels: Channels, message_of: MessageOf, now: datetime
    ) -> int:
        """Queue the messages of an episode that is alone in its group; return their number.

        A second call does nothing. A channel that the settings do not have is recorded as refused.
        """
        return self.enqueue_all([(GroupEvent.alone(event), message_of)], channels, now)

    def enqueue_all(
        self, events: Iterable[tuple[GroupEvent, MessageOf]], channels: Channels, now: datetime
    ) -> int:
        """Queue the messages of what happened to several groups, all of them or none."""
        with self.transaction():
            count = sum(self._enqueue(event, channels, of, now) for event, of in events)
        failpoint("delivery: queued")
        return count

    def _enqueue(
        self, event: GroupEvent, channels: Channels, message_of: MessageOf, now: datetime
    ) -> int:
        if not any([self._is_first(each) for each in event.events]):  # noqa: C419 - notes all
            return 0
        orders = route(event, self.keys_of(event.group), channels)
        for order in orders:
            self._queue(order, event, channels, message_of(order), now)
        return len(orders)

    def _is_first(self, event: EpisodeEvent) -> bool:
        inserted = self.execute(
            "INSERT OR IGNORE INTO events VALUES (:episode, :ts, :event)",
            episode=event.episode, ts=event.ts.isoformat(), event=event.event,
        )  # fmt: skip
        return inserted.rowcount > 0

    def _queue(
        self, order: Order, event: GroupEvent, channels: Channels, message: Message, now: datetime
    ) -> None:
        settings, text = channels.get(order.channel), msgspec.json.encode(message).decode()
        if order.action == "open":
            self.execute(
                "INSERT OR REPLACE INTO keys VALUES (:delivery, :episode, :level, :channel, :kind, "
                ":rank, :escalation, 'queued', :phase, :text, :text, NULL, 0, :now)",
                delivery=order.delivery, episode=event.group, level=order.level,
                channel=order.channel, kind=settings.kind if settings else None, rank=order.rank,
                escalation=order.escalation, phase=order.phase, text=text, now=seconds(now),
            )  # fmt: skip
        else:
            self.execute(
                "UPDATE keys SET newest = :text, phase = :phase WHERE delivery = :delivery",
                text=text, phase=order.phase, delivery=order.delivery,
            )  # fmt: skip
            if order.action != "acknowledge":
                self._drop_superseded(order, now)
        if order.action == "resolve" and (order.drop or self._never_opened(order.delivery)):
            reason = order.drop or "the episode ended before its message could be sent"
            self._drop_waiting(order.delivery, reason, now)
            self._close(order.delivery)
            self._note(order.delivery, order.action, "dropped", now, detail=reason)
            return
        self._insert(order, event, text, now)
        self._note(order.delivery, order.action, "queued", now)
        if settings is None:
            known = ", ".join(sorted(channels)) or "none"
            reason = (
                f"the settings have no channel {order.channel!r} (there are: {known}): add it to "
                "hoursight.toml or correct the rule"
            )
            self._refuse_key(order, reason, now)

    def _insert(self, order: Order, event: GroupEvent, text: str, now: datetime) -> None:
        self.execute(
            "INSERT OR IGNORE INTO entries (delivery, action, event_ts, message, state, attempts, "
            "next_at, created_at, leased_until, may_have_arrived) "
            "VALUES (:delivery, :action, :event_ts, :text, 'queued', 0, :next_at, :now, 0, 0)",
            delivery=order.delivery, action=order.action, event_ts=event.ts.isoformat(), text=text,
            now=seconds(now), next_at=self._due_at(order, now),
        )  # fmt: skip

    def _due_at(self, order: Order, now: datetime) -> float:
        """Return when a message is sent: one that can wait, some time after that before it."""
        if not order.can_wait:
            return seconds(now)
        last = self.one(
            "SELECT coalesce(max(created_at), 0) FROM entries WHERE delivery = ? "
            "AND state != 'dropped'", order.delivery,
        )  # fmt: skip
        return max(seconds(now), float(last) + JOINS_EVERY.total_seconds())

    def _refuse_key(self, order: Order, reason: str, now: datetime) -> None:
        self.execute(
            "UPDATE entries SET state = 'refused' WHERE delivery = :delivery",
            delivery=order.delivery,
        )
        self._set_state(order.delivery, "unknown")
        self._note(order.delivery, order.action, "refused", now, detail=reason)

    def _never_opened(self, delivery: str) -> bool:
        """Return True if the opening message waits and cannot have arrived."""
        return bool(self.one(
            "SELECT count(*) FROM entries WHERE delivery = ? AND action = 'open' "
            "AND state = 'queued' AND may_have_arrived = 0", delivery,
        ))  # fmt: skip

    def _drop_superseded(self, order: Order, now: datetime) -> None:
        """Drop updates that wait, where a newer message says all that they say."""
        self._drop_waiting(
            order.delivery, "a newer message replaces it", now, "AND action = 'update'"
        )

    def _drop_waiting(self, delivery: str, reason: str, now: datetime, among: str = "") -> None:
        rows = self.execute(
            "SELECT entry, action, attempts FROM entries WHERE delivery = :delivery "
            f"AND state = 'queued' AND may_have_arrived = 0 {among}",
            delivery=delivery,
        ).fetchall()
        for row in rows:
            self.execute("UPDATE entries SET state = 'dropped' WHERE entry = :entry", row)
            self._note(
                delivery, row["action"], "dropped", now, attempt=row["attempts"], detail=reason
            )

    def lease(self, channel: str, now: datetime) -> Leased | None:
        """Return the message to send next, leased for LEASE; None if none is due."""
        with self.transaction():
            row = self.execute(_DUE, channel=channel, now=seconds(now)).fetchone()
            if row is None:
                return None
            lease = uuid.uuid4().hex
            self.execute(
                "UPDATE entries SET lease = :lease, leased_until = :until, may_have_arrived = 1, "
                "attempts = attempts + 1 WHERE entry = :entry",
                row, lease=lease, until=seconds(now + LEASE),
            )  # fmt: skip
        failpoint("delivery: leased")
        return Leased(row["entry"], lease, row["attempts"] + 1, dispatch_of(row))

    def record(self, leased: Leased, answer: SendResult, now: datetime) -> None:
        """Record what came of a message; nothing if another process has leased it meanwhile."""
        failpoint("delivery: sent")
        with self.transaction():
            row = self.execute(
                "SELECT * FROM entries WHERE entry = :entry AND lease = :lease "
                "AND state = 'queued'", entry=leased.entry, lease=leased.lease,
            ).fetchone()  # fmt: skip
            if row is not None:
                self._record(leased, row, answer, now)
        failpoint("delivery: recorded")

    def _record(self, leased: Leased, row: sqlite3.Row, answer: SendResult, now: datetime) -> None:
        delivery, action = leased.dispatch.delivery, leased.dispatch.action
        verdict, detail, next_at = answer.outcome, answer.detail, None
        if verdict is SendOutcome.FAILED and _is_hopeless(row, now):
            verdict = SendOutcome.DROPPED
            detail = f"given up after {row['attempts']} attempts: {detail}"
        if verdict is SendOutcome.FAILED:
            next_at = now + max(back_off(leased.attempt, self._rng), answer.retry_after)
            arrived = answer.may_have_arrived or leased.dispatch.may_have_arrived
            self.execute(
                "UPDATE entries SET leased_until = 0, next_at = :next_at, "
                "may_have_arrived = :arrived WHERE entry = :entry",
                row, next_at=seconds(next_at), arrived=arrived,
            )  # fmt: skip
        else:
            self.execute(
                "UPDATE entries SET state = :state WHERE entry = :entry", row, state=verdict.value
            )
            self._settle(delivery, action, verdict, answer.receipt, now)
        self._note(
            delivery, action, verdict.value, now, attempt=leased.attempt, status=answer.status,
            next_at=next_at, receipt=answer.receipt, detail=detail,
        )  # fmt: skip

    def _settle(
        self,
        delivery: str,
        action: str,
        verdict: SendOutcome,
        receipt: str | None,
        now: datetime,
    ) -> None:
        """Change the key of a message that was sent, refused or given up."""
        if action == "resolve":
            self._close(delivery)
        elif action == "open" and verdict is SendOutcome.SENT:
            self.execute(
                "UPDATE keys SET state = 'open', receipt = :receipt, refreshed_at = :now "
                "WHERE delivery = :delivery", receipt=receipt, delivery=delivery, now=seconds(now),
            )  # fmt: skip
        elif action == "open":
            self._set_state(delivery, "refused")
            self.execute(
                "UPDATE entries SET may_have_arrived = 0 WHERE delivery = :delivery "
                "AND state = 'queued'", delivery=delivery,
            )  # fmt: skip
            self._drop_waiting(delivery, "its opening message was not delivered", now)

    def note_sent_by_hand(self, dispatch: Dispatch, answer: SendResult, now: datetime) -> None:
        """Note that an opening message that was refused has been sent: its resolve will follow."""
        with self.transaction():
            noted = self.execute(
                "UPDATE keys SET state = 'open', receipt = :receipt WHERE delivery = :delivery "
                "AND state IN ('refused', 'unknown')",
                receipt=answer.receipt, delivery=dispatch.delivery,
            )  # fmt: skip
            if noted.rowcount:
                self._note(
                    dispatch.delivery, dispatch.action, SendOutcome.SENT.value, now,
                    status=answer.status, receipt=answer.receipt, detail="sent by hand",
                )  # fmt: skip

    def renew(self, delivery: str, message: Message) -> None:
        """Replace the newest message of an open key, of which the receiver hears at a refresh."""
        self.execute(
            "UPDATE keys SET newest = :text WHERE delivery = :delivery AND state = 'open'",
            text=msgspec.json.encode(message).decode(), delivery=delivery,
        )  # fmt: skip

    def refreshed(self, delivery: str, at: datetime) -> None:
        """Note that a key was sent again."""
        self.execute(
            "UPDATE keys SET refreshed_at = :at WHERE delivery = :delivery",
            at=seconds(at), delivery=delivery,
        )  # fmt: skip

    def prune(self, mirrored: int, now: datetime) -> None:
        """Remove what is older than 30 days: outcomes up to `mirrored`, and keys that are done."""
        old = seconds(now - KEPT)
        with self.transaction():
            self.execute(
                "DELETE FROM outcomes WHERE outcome_id <= :mirrored AND ts < :old",
                mirrored=mirrored, old=old,
            )  # fmt: skip
            self.execute(
                "DELETE FROM entries WHERE created_at < :old AND state != 'queued' AND delivery "
                "NOT IN (SELECT delivery FROM keys WHERE state IN ('queued', 'open'))", old=old,
            )  # fmt: skip
            self.execute(
                "DELETE FROM keys WHERE created_at < :old AND state NOT IN ('queued', 'open')",
                old=old,
            )
            self.execute("DELETE FROM events WHERE ts < :old", old=(now - KEPT).isoformat())

    def _close(self, delivery: str) -> None:
        self._set_state(delivery, "closed")

    def _set_state(self, delivery: str, state: str) -> None:
        self.execute(
            "UPDATE keys SET state = :state WHERE delivery = :delivery",
            state=state, delivery=delivery,
        )  # fmt: skip

    def _note(
        self, delivery: str, action: str, outcome: str, now: datetime,
        next_at: datetime | None = None, **more: Any,
    ) -> None:  # fmt: skip
        values = dict.fromkeys(("attempt", "status", "receipt", "detail")) | more
        self.execute(
            _OUTCOME, delivery=delivery, action=action, outcome=outcome, ts=seconds(now),
            next_at=None if next_at is None else seconds(next_at), **values,
        )  # fmt: skip

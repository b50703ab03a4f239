"""Outbox reading: what waits, what is open, and what came of earlier messages."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from functions.delivery.dispatch import Dispatch
from functions.delivery.message import Message
from functions.delivery.outbox_file import OutboxFile
from functions.delivery.routing import DeliveryKey, EpisodeEvent

__all__ = ["OutboxReading", "Waiting", "dispatch_of", "seconds", "time_at"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages that wait for a channel: how many, since when, and why the last attempt failed."""

    count: int
    since: datetime | None
    detail: str | None


class OutboxReading(OutboxFile):
    """The queries of an outbox."""

    @property
    def id(self) -> str:
        """The identity of this file: another one counts its outcomes anew."""
        return str(self.one("SELECT outbox FROM about"))

    @property
    def is_new(self) -> bool:
        """True until `seed` has been called."""
        return not self.one("SELECT seeded FROM about")

    def newest_event(self) -> datetime | None:
        """Return the time of the newest event that was enqueued; None without one."""
        text = self.one("SELECT max(ts) FROM events")
        return datetime.fromisoformat(text) if text else None

    def knows(self, event: EpisodeEvent) -> bool:
        """Return True if an event was enqueued before."""
        return bool(self.one(
            "SELECT count(*) FROM events WHERE episode = ? AND ts = ? AND event = ?",
            event.episode, event.ts.isoformat(), event.event,
        ))  # fmt: skip

    def keys_of(self, episode: str) -> list[DeliveryKey]:
        """Return the keys of an episode, oldest first."""
        rows = self.execute(
            "SELECT delivery, episode, level, channel, rank, escalation, state, phase FROM keys "
            "WHERE episode = :episode ORDER BY created_at, rowid",
            episode=episode,
        )
        return [DeliveryKey(**dict(row)) for row in rows]

    def open_messages(self) -> dict[str, Message]:
        """Return the newest message of each open key."""
        rows = self.execute(
            "SELECT delivery, newest FROM keys WHERE state = 'open' AND newest IS NOT NULL"
        )
        return {r["delivery"]: msgspec.json.decode(r["newest"], type=Message) for r in rows}

    def due_for_refresh(self, channel: str, before: datetime) -> list[Dispatch]:
        """Return the newest message of each open key that was last sent before `before`."""
        rows = self.execute(
            "SELECT delivery, level, episode, channel, kind, receipt, opened, newest AS message, "
            "'update' AS action, 0 AS may_have_arrived FROM keys "
            "WHERE channel = :channel AND state = 'open' AND refreshed_at <= :before "
            "AND newest IS NOT NULL ORDER BY refreshed_at LIMIT 20",
            channel=channel, before=seconds(before),
        )  # fmt: skip
        return [dispatch_of(row) for row in rows]

    def outcomes_after(self, number: int, limit: int = 1000) -> tuple[list[dict[str, Any]], int]:
        """Return rows of the table `deliveries` after the outcome `number`, and the last number."""
        rows = self.execute(
            "SELECT * FROM outcomes WHERE outcome_id > :number ORDER BY outcome_id LIMIT :limit",
            number=number, limit=limit,
        ).fetchall()  # fmt: skip
        times = ("ts", "next_at")
        made = [
            {k: time_at(row[k]) if k in times else row[k] for k in row.keys() if k != "outcome_id"}  # noqa: SIM118 - of sqlite3.Row
            for row in rows
        ]
        return made, rows[-1]["outcome_id"] if rows else number

    def waiting(self, channel: str) -> Waiting:
        """Return what waits for a channel, and how its last attempt failed."""
        row = self.execute(
            "SELECT count(*) AS count, min(entries.created_at) AS since FROM entries "
            "JOIN keys USING (delivery) WHERE channel = :channel AND entries.state = 'queued'",
            channel=channel,
        ).fetchone()  # fmt: skip
        failed = self.execute(
            "SELECT detail FROM outcomes WHERE channel = :channel AND outcome = 'failed' "
            "ORDER BY outcome_id DESC LIMIT 1", channel=channel,
        ).fetchone()  # fmt: skip
        return Waiting(row["count"], time_at(row["since"]), failed["detail"] if failed else None)

    def last_refusal(self, channel: str, since: datetime) -> tuple[datetime, str] | None:
        """Return when a channel last refused a message since then, and why; None if it did not."""
        row = self.execute(
            "SELECT ts, detail FROM outcomes WHERE channel = :channel AND outcome = 'refused' "
            "AND ts > :since ORDER BY outcome_id DESC LIMIT 1",
            channel=channel, since=seconds(since),
        ).fetchone()  # fmt: skip
        if row is None:
            return None
        return datetime.fromtimestamp(row["ts"], UTC), row["detail"] or "no reason given"

    def newest(self, episode: str, channel: str) -> Dispatch | None:
        """Return the newest message of an episode that a channel has taken; None without one."""
        row = self.execute(
            "SELECT delivery, level, episode, channel, kind, receipt, opened, newest AS message, "
            "CASE state WHEN 'closed' THEN 'resolve' ELSE 'update' END AS action, "
            "0 AS may_have_arrived FROM keys WHERE episode = :episode AND channel = :channel "
            "AND state IN ('open', 'closed') AND newest IS NOT NULL "
            "ORDER BY created_at DESC, rowid DESC",
            episode=episode, channel=channel,
        ).fetchone()  # fmt: skip
        return None if row is None else dispatch_of(row)


def dispatch_of(row: sqlite3.Row) -> Dispatch:
    """Return the message of a row that has the columns of an entry and of its key."""
    message = msgspec.json.decode(row["message"], type=Message)
    opened = msgspec.json.decode(row["opened"], type=Message) if row["opened"] else message
    return Dispatch(
        delivery=row["delivery"], episode=row["episode"], level=row["level"], action=row["action"],
        channel=row["channel"], message=message, opened=opened, receipt=row["receipt"],
        may_have_arrived=bool(row["may_have_arrived"]),
    )  # fmt: skip


def seconds(ts: datetime) -> float:
    """Return a time as it is stored [s since 1970]."""
    return ts.timestamp()


def time_at(stored: float | None) -> datetime | None:
    """Return a stored time."""
    return None if stored is None else datetime.fromtimestamp(stored, UTC)

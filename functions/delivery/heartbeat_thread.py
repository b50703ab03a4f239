"""Heartbeat thread: calls a URL while the fleet is forecast, as the engine's loop judged last.

A judgement that is old is none: when the engine's loop stands still, the heartbeat stops too.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions.connectors.secrets import secret
from functions.delivery.channels.http_sending import HttpReply, HttpSender, masked
from functions.delivery.dispatch import ChannelUnusable
from functions.delivery.fleet_liveness import FleetLiveness
from functions.delivery.outbox_file import OutboxFile
from functions.normalize.strict_toml import SourceInvalid
from storage.config.channel_settings import ChannelSettings, HeartbeatSettings
from storage.config.folders import Folders
from storage.model.periods import parse_period

__all__ = ["HeartbeatThread", "PingState", "note_liveness", "ping_state"]

log = logging.getLogger(__name__)

OLD_JUDGEMENT = timedelta(minutes=5)
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class PingState:
    """The newest judgement, and the last call of the URL with its answer; None if there was none.

    `answer` is "ok" after a call that was accepted.
    """

    judged_at: datetime | None = None
    liveness: FleetLiveness | None = None
    pinged_at: datetime | None = None
    answer: str | None = None

    def withheld(self, now: datetime) -> str | None:
        """Return why the URL is not called, in words; None if it is."""
        if self.judged_at is None or self.liveness is None:
            return "the engine has not judged the fleet yet"
        if now - self.judged_at > OLD_JUDGEMENT:
            return f"the engine judged the fleet last at {self.judged_at:%Y-%m-%d %H:%M} UTC"
        return None if self.liveness.holds else self.liveness.why


def note_liveness(file: OutboxFile, liveness: FleetLiveness, now: datetime) -> None:
    """Keep a judgement for the thread."""
    with file.transaction():
        file.execute(
            "INSERT INTO pings (id, judged_at, holds, why) VALUES (1, :now, :holds, :why) "
            "ON CONFLICT (id) DO UPDATE SET judged_at = :now, holds = :holds, why = :why",
            now=now.timestamp(), holds=liveness.holds, why=liveness.why,
        )  # fmt: skip


def ping_state(file: OutboxFile) -> PingState:
    """Return the state of the heartbeat."""
    row = file.execute("SELECT * FROM pings").fetchone()
    if row is None:
        return PingState()
    liveness = None if row["why"] is None else FleetLiveness(bool(row["holds"]), row["why"])
    return PingState(_at(row["judged_at"]), liveness, _at(row["pinged_at"]), row["answer"])


class HeartbeatThread:
    """Calls the URL of the settings every so often while `PingState` allows it."""

    def __init__(
        self,
        folders: Folders,
        settings: HeartbeatSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folders, self._settings, self._clock = folders, settings, clock
        self._every = parse_period(settings.every)
        self._logged: str | None = ""

    def keep_pinging(self, stop: threading.Event) -> None:
        """Call the URL until `stop` is set. Raises ChannelUnusable when its secret is missing."""
        url = heartbeat_url(self._settings)
        assert url is not None, "the thread is started with a URL only"
        sender = HttpSender(ChannelSettings(), [url, url.partition("://")[2]])
        try:
            with OutboxFile(self._folders.outbox) as file:
                while not stop.is_set():
                    self.ping_if_due(file, sender, url)
                    stop.wait(POLL_S)
        finally:
            sender.close()

    def ping_if_due(self, file: OutboxFile, sender: HttpSender, url: str) -> None:
        """Call the URL if it is time, and the fleet is forecast."""
        now, state = self._clock(), ping_state(file)
        reason = state.withheld(now)
        self._log_change(reason)
        if reason or (state.pinged_at and now - state.pinged_at < self._every):
            return
        reply = sender.send(sender.request("GET", url, b"", {}))
        if isinstance(reply, HttpReply):
            answer = "ok" if 200 <= reply.status < 300 else f"answers {reply.status}"
        else:
            answer = reply.detail or "does not answer"
        if answer != "ok":
            log.warning("the heartbeat failed: %s", masked(answer, sender.secrets))
        self._note(file, answer, now)

    def _note(self, file: OutboxFile, answer: str, now: datetime) -> None:
        with file.transaction():
            file.execute(
                "UPDATE pings SET pinged_at = :now, answer = :answer",
                now=now.timestamp(), answer=answer,
            )  # fmt: skip

    def _log_change(self, reason: str | None) -> None:
        if reason == self._logged:
            return
        self._logged = reason
        if reason:
            log.warning("the heartbeat is withheld: %s", reason)
        else:
            log.info("the heartbeat is sent every %s", self._settings.every)


def heartbeat_url(settings: HeartbeatSettings) -> str | None:
    """Return the URL of the settings; None without one. Raises ChannelUnusable."""
    try:
        return settings.url or secret("url", settings.url_env, settings.url_file, "heartbeat")
    except SourceInvalid as error:
        raise ChannelUnusable(str(error)) from error


def _at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

"""Audit trail: what people did, sent to the engine, which writes it to the lake.

What cannot be sent yet waits here; beyond a limit it is counted, and the count is an entry.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Litestar

from storage.config.folders import Folders
from storage.ipc.rpc import NotRunning, call_rpc

__all__ = ["AuditTrail", "Entry"]

log = logging.getLogger(__name__)

MAX_WAITING, MAX_SENT = 2000, 500
# Anybody can fail to log in: so many of these a minute are entries, the others are counted.
MAX_FAILED, MINUTE = 20, timedelta(minutes=1)
RETRY_S, LAST_S = 5.0, 2.0
MAX_TEXT = 500


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that somebody did or tried, as the table `audit` has it."""

    ts: datetime
    actor: str
    action: str
    outcome: str = "done"
    role: str | None = None
    shown_by: str | None = None
    target: str | None = None
    detail: str | None = None
    address: str | None = None
    reason: str | None = None

    def row(self) -> dict[str, Any]:
        """The row of the table, with an id; texts are cut."""
        values = {"outcome": self.outcome, **msgspec.to_builtins(self)}
        cut = {k: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in values.items()}
        return {"entry": uuid.uuid4().hex, **cut}


class AuditTrail:
    """What has not been sent yet; all calls come from the site's event loop."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._waiting: deque[dict[str, Any]] = deque()
        self._lost = 0
        self._minute: datetime | None = None
        self._failed = self._failed_more = 0
        self._wake, self._stopped = asyncio.Event(), False

    def note(self, entry: Entry) -> None:
        """Send an entry soon."""
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(entry.row())
        self._wake.set()

    def note_failed_login(self, entry: Entry) -> None:
        """Send an entry of a failed login, unless there were too many in this minute."""
        if self._minute is None or entry.ts - self._minute >= MINUTE:
            if self._failed_more:
                more = f"{self._failed_more} more failed logins in the minute from {self._minute}"
                entry = msgspec.structs.replace(entry, detail=more)
            self._minute, self._failed, self._failed_more = entry.ts, 0, 0
        self._failed += 1
        if self._failed > MAX_FAILED:
            self._failed_more += 1
        else:
            self.note(entry)

    @asynccontextmanager
    async def sending(self, _: Litestar) -> AsyncIterator[None]:
        """Lifespan context: send entries while the site is running, and at its end."""
        self._wake, self._stopped = asyncio.Event(), False
        task = asyncio.create_task(self._send_often())
        try:
            yield
        finally:
            self._stopped = True
            self._wake.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(task, LAST_S)
            if self._waiting or self._lost:
                count = len(self._waiting) + self._lost
                log.error("%d entries of the audit are lost: the engine took none", count)

    async def _send_often(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            sent = await self._send()
            if self._stopped and (not sent or not self._waiting):
                return
            if self._waiting:
                if not sent:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), RETRY_S)
                self._wake.set()

    async def _send(self) -> bool:
        """Send what waits, up to a limit; return False if it has to be sent again."""
        if self._lost and len(self._waiting) < MAX_WAITING:
            self._waiting.append(self._loss(self._waiting[-1]["ts"]))
        rows = [self._waiting[n] for n in range(min(len(self._waiting), MAX_SENT))]
        if not rows:
            return True
        call = msgspec.json.encode({"name": "audit", "body": rows})
        try:
            status, answer = await call_rpc(self._folders.rpc_socket, call)
        except NotRunning:
            return False
        if status != 200:
            log.warning("the engine did not take the audit: %d %s", status, answer[:MAX_TEXT])
            return False
        for _ in rows:
            self._waiting.popleft()
        return True

    def _loss(self, ts: datetime) -> dict[str, Any]:
        count, self._lost = self._lost, 0
        detail = f"{count} entries were not recorded: too many waited for the engine"
        return Entry(ts, "site", "entries lost", "failed", detail=detail).row()

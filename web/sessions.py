"""Sessions: who is logged in, by the hash of a token in the browser's cookie.

They are in a file of the data folder, so that a restart of the site logs nobody out.
"""

import asyncio
import hashlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec
from litestar import Litestar

from storage.config.entries_file import replace_file
from storage.config.folders import Folders
from storage.ipc.decoding import InvalidJson, decode_json
from web.periodic import repeated

__all__ = ["Session", "Sessions"]

log = logging.getLogger(__name__)

MAX_SESSIONS, MAX_OF_ONE = 10_000, 20
# A session's last use is noted to the minute.
SEEN_EVERY = timedelta(minutes=1)
SAVE_EVERY_S = 5.0


class Session(msgspec.Struct, frozen=True):
    """A login: how (`kind`: user, key or oidc), who, with which proof, and when.

    `subject` is the version of the user's password, or the key's id; `role` is that of the
    provider's groups.
    """

    id: str
    kind: str
    name: str
    subject: str
    role: str
    address: str
    created_at: datetime
    seen_at: datetime


class Sessions:
    """The sessions of a site; safe to share between threads."""

    def __init__(self, folders: Folders, idle: timedelta, longest: timedelta) -> None:
        self._path = folders.sessions
        self._idle, self._longest = idle, longest
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] | None = None
        self._changed = False

    def start(
        self, kind: str, name: str, subject: str, role: str, address: str, now: datetime
    ) -> str:
        """Begin a session and return its token, which is not stored."""
        token = secrets.token_urlsafe(32)
        session = Session(_hash(token), kind, name, subject, role, address, now, now)
        with self._lock:
            sessions = self._loaded()
            for each in [s for s in sessions.values() if not self._lives(s, now)]:
                del sessions[each.id]
            mine = [s for s in sessions.values() if (s.kind, s.name) == (kind, name)]
            surplus = sorted(mine, key=_seen_at)[: max(0, len(mine) + 1 - MAX_OF_ONE)]
            if not surplus and len(sessions) >= MAX_SESSIONS:
                surplus = [min(sessions.values(), key=_seen_at)]
            for each in surplus:
                del sessions[each.id]
            sessions[session.id] = session
            self._changed = True
        return token

    def find(self, token: str, now: datetime) -> Session | None:
        """The session of a token unless it has expired; it counts as used now."""
        with self._lock:
            session = self._loaded().get(_hash(token))
            if session is None or not self._lives(session, now):
                return None
            if now - session.seen_at >= SEEN_EVERY:
                session = msgspec.structs.replace(session, seen_at=now)
                self._loaded()[session.id] = session
                self._changed = True
            return session

    def end(self, token: str) -> Session | None:
        """End the session of a token and return it."""
        with self._lock:
            session = self._loaded().pop(_hash(token), None)
            self._changed = self._changed or session is not None
            return session

    def addresses(self, name: str) -> set[str]:
        """The addresses from which somebody has logged in as the user `name`."""
        with self._lock:
            return {
                s.address for s in self._loaded().values() if (s.kind, s.name) == ("user", name)
            }

    def save(self) -> None:
        """Write what has changed. Raises OSError."""
        with self._lock:
            if not self._changed or not self._path.parent.is_dir():
                return
            text, self._changed = msgspec.json.encode(list(self._loaded().values())), False
        try:
            replace_file(self._path, text)
        except OSError:
            self._changed = True
            raise

    @asynccontextmanager
    async def saving(self, _: Litestar) -> AsyncIterator[None]:
        """Lifespan context: write the sessions to their file while the site is running."""
        async with repeated(self._save, SAVE_EVERY_S):
            yield

    async def _save(self) -> None:
        try:
            await asyncio.to_thread(self.save)
        except OSError as error:  # a disk that is full or read-only
            log.warning("sessions cannot be saved: a restart will log everybody out: %s", error)

    def _lives(self, session: Session, now: datetime) -> bool:
        return now - session.seen_at < self._idle and now - session.created_at < self._longest

    def _loaded(self) -> dict[str, Session]:
        """The sessions by id; read from the file at first."""
        if self._sessions is None:
            self._sessions = {
                session.id: session for session in _read(self._path.name, self._text())
            }
        return self._sessions

    def _text(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b"[]"
        except OSError as error:
            log.warning("%s cannot be read, everybody is logged out: %s", self._path.name, error)
            return b"[]"


def _read(name: str, text: bytes) -> list[Session]:
    try:
        return decode_json(text, list[Session])
    except InvalidJson as error:
        log.warning("%s is damaged, everybody is logged out: %s", name, error)
        return []


def _seen_at(session: Session) -> datetime:
    return session.seen_at


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()

"""Outbox file: the SQLite file of deliveries in the data folder, created when it is missing."""

import os
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from storage.errors import HoursightError
from storage.platform.durability import fsync_directory
from storage.platform.private_files import open_private

__all__ = ["OutboxFile", "OutboxUnusable"]

BUSY_S = 10.0
VERSION = 1
SCRIPT = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS about (outbox TEXT NOT NULL, seeded INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    episode TEXT NOT NULL, ts TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (episode, ts, event)
);
CREATE TABLE IF NOT EXISTS keys (
    delivery TEXT PRIMARY KEY, episode TEXT NOT NULL, level TEXT NOT NULL, channel TEXT NOT NULL,
    kind TEXT, rank REAL NOT NULL, escalation INTEGER NOT NULL, state TEXT NOT NULL,
    phase TEXT NOT NULL, opened TEXT, newest TEXT, receipt TEXT,
    refreshed_at REAL NOT NULL, created_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS keys_of_episode ON keys (episode);
CREATE TABLE IF NOT EXISTS entries (
    entry INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL, action TEXT NOT NULL,
    event_ts TEXT NOT NULL, message TEXT NOT NULL, state TEXT NOT NULL,
    attempts INTEGER NOT NULL, next_at REAL NOT NULL, created_at REAL NOT NULL,
    lease TEXT, leased_until REAL NOT NULL, may_have_arrived INTEGER NOT NULL,
    UNIQUE (delivery, action, event_ts)
);
CREATE INDEX IF NOT EXISTS entries_due ON entries (state, next_at);
CREATE TABLE IF NOT EXISTS outcomes (
    outcome_id INTEGER PRIMARY KEY AUTOINCREMENT, delivery TEXT NOT NULL, ts REAL NOT NULL,
    episode TEXT NOT NULL, level TEXT NOT NULL, action TEXT NOT NULL, channel TEXT NOT NULL,
    kind TEXT, outcome TEXT NOT NULL, attempt INTEGER, status INTEGER, next_at REAL, receipt TEXT,
    detail TEXT
);
CREATE TABLE IF NOT EXISTS pings (
    id INTEGER PRIMARY KEY CHECK (id = 1), judged_at REAL, holds INTEGER, why TEXT,
    pinged_at REAL, answer TEXT
);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class OutboxFile:
    """An open outbox; a committed transaction survives a crash of the machine.

    Raises OutboxUnusable.
    """

    def __init__(self, path: Path) -> None:
        self._connection = _connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what happens in the context."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # an interrupt too must not leave the transaction open
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def execute(
        self, sql: str, row: Mapping[str, Any] | sqlite3.Row | None = None, /, **values: Any
    ) -> sqlite3.Cursor:
        """Run one statement with the values of `row` and those by name."""
        return self._connection.execute(sql, dict(row or {}) | values)

    def one(self, sql: str, *values: Any) -> Any:
        """Return the first value of a query."""
        return self._connection.execute(sql, values).fetchone()[0]


class OutboxUnusable(HoursightError):
    """The outbox cannot be read or written; the message has the file and the remedy."""

    retryable = True


def _connect(path: Path) -> sqlite3.Connection:
    """Open the outbox, and create it for this user alone. Raises OutboxUnusable.

    A committed transaction survives a crash of the machine.
    """
    try:
        os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # a deleted server's name leaves the file
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            _create(connection, path)
    except sqlite3.OperationalError as error:
        raise OutboxUnusable(f"{path} cannot be used ({error})", "check its disk") from error
    except sqlite3.DatabaseError as error:
        raise OutboxUnusable(
            f"{path} is damaged ({error})",
            "move it away: a new one takes from the lake what was sent already",
        ) from error
    except OSError as error:
        raise OutboxUnusable(
            f"{path} cannot be used ({error.strerror})", "check its disk and its owner"
        ) from error
    return connection


def _create(connection: sqlite3.Connection, path: Path) -> None:
    connection.executescript(SCRIPT)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM about").fetchone()[0] == 0:
        connection.execute("INSERT INTO about VALUES (?, 0)", (uuid.uuid4().hex,))
    connection.execute("COMMIT")
    fsync_directory(path.parent)

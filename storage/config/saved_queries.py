"""Saved queries of the SQL page: a small file in the data folder, which only the site writes."""

import os
import threading
import uuid
from datetime import datetime
from pathlib import Path

import msgspec

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.ipc.decoding import InvalidJson, decode_json

__all__ = ["SavedQueries", "SavedQuery", "SavedQueryRefused"]

MAX_QUERIES = 500
MAX_NAME, MAX_SQL = 100, 30_000  # characters


class SavedQueryRefused(HoursightError):
    """A query cannot be saved, or the file of saved queries cannot be read or written."""


class SavedQuery(msgspec.Struct, frozen=True):
    """A query, its name, and who saved it when."""

    name: str
    sql: str
    saved_by: str
    saved_at: datetime


class SavedQueries:
    """The saved queries of a data folder; safe to share between threads."""

    def __init__(self, folders: Folders) -> None:
        self._path = folders.saved_queries
        self._lock = threading.Lock()

    def all(self) -> tuple[SavedQuery, ...]:
        """Return them by name. Raises SavedQueryRefused where the file cannot be read."""
        try:
            queries = decode_json(self._path.read_bytes(), tuple[SavedQuery, ...])
        except FileNotFoundError:
            return ()
        except (OSError, InvalidJson) as error:
            raise SavedQueryRefused(
                f"{self._path.name} cannot be read ({error})", "correct or remove that file"
            ) from error
        return tuple(sorted(queries, key=lambda query: query.name.lower()))

    def save(self, query: SavedQuery) -> bool:
        """Save a query; return True if it took the place of one with the same name."""
        query = msgspec.structs.replace(query, name=query.name.strip(), sql=query.sql.strip())
        _check(query)
        with self._lock:
            others = [each for each in self.all() if each.name != query.name]
            if len(others) >= MAX_QUERIES:
                raise SavedQueryRefused(
                    f"{MAX_QUERIES} queries are saved already", "remove one of them"
                )
            replaced = len(others) < len(self.all())
            self._write([*others, query])
        return replaced

    def remove(self, name: str) -> None:
        """Remove the query of that name. Raises SavedQueryRefused without one."""
        with self._lock:
            queries = self.all()
            left = [each for each in queries if each.name != name]
            if len(left) == len(queries):
                raise SavedQueryRefused(f"no query is saved as {name[:MAX_NAME]!r}")
            self._write(left)

    def _write(self, queries: list[SavedQuery]) -> None:
        try:
            _replace(self._path, msgspec.json.format(msgspec.json.encode(queries)))
        except OSError as error:
            raise SavedQueryRefused(f"{self._path.name} cannot be written ({error})") from error


def _check(query: SavedQuery) -> None:
    if not query.name or len(query.name) > MAX_NAME or not query.name.isprintable():
        raise SavedQueryRefused(
            f"{query.name[:MAX_NAME]!r} is not a valid name of a query",
            f"use 1 to {MAX_NAME} printable characters",
        )
    if not query.sql or len(query.sql) > MAX_SQL:
        raise SavedQueryRefused(
            f"the query has {len(query.sql)} characters", f"1 to {MAX_SQL} can be saved"
        )


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)

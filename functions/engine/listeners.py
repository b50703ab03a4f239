"""What happens outside while a process waits: commits and files, told to those whom it concerns."""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from watchfiles import watch

from storage.config.folders import Folders
from storage.inbox.notify import watch_table_changes
from storage.platform.threads import SupervisedThread

__all__ = ["CommitListener", "FileWatch", "WakeEvent", "matching"]

log = logging.getLogger(__name__)

LOOK_EVERY_MS = 1000
# What is written in one go is told as one.
DEBOUNCE_MS = 50


class WakeEvent:
    """What one loop has been told since it last looked."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._lock = threading.Lock()
        self._tables: set[str] = set()
        self._paths: dict[str, set[Path]] = {}

    def post(
        self, tables: Iterable[str] = (), paths: Mapping[str, set[Path]] | None = None
    ) -> None:
        """Tell of tables that changed, and of files by the pattern that they match."""
        with self._lock:
            self._tables |= set(tables)
            for pattern, found in (paths or {}).items():
                self._paths.setdefault(pattern, set()).update(found)
            self.arrived.set()

    def take(self) -> tuple[set[str], dict[str, set[Path]]]:
        """What came, once."""
        with self._lock:
            taken = self._tables, self._paths
            self._tables, self._paths = set(), {}
            self.arrived.clear()
        return taken


class CommitListener:
    """Passes the writer's announcements on to any number of mailboxes."""

    def __init__(self, folders: Folders, stop: threading.Event) -> None:
        self._folders = folders
        self._stop = stop
        self._lock = threading.Lock()
        self._mailboxes: set[WakeEvent] = set()
        SupervisedThread("news", self._gather, stop).start()

    def subscribe(self, mailbox: WakeEvent) -> None:
        """Tell this one too from now on."""
        with self._lock:
            self._mailboxes.add(mailbox)

    def leave(self, mailbox: WakeEvent) -> None:
        """Tell it no more."""
        with self._lock:
            self._mailboxes.discard(mailbox)

    def _gather(self) -> None:
        for tables in watch_table_changes(self._folders.data, self._stop, timeout_ms=LOOK_EVERY_MS):
            if tables:
                log.debug("commit received: %s", ", ".join(sorted(tables)))
                with self._lock:
                    for mailbox in self._mailboxes:
                        mailbox.post(tables)


class FileWatch:
    """Posts the files that match and are newer than `since`, then those that come or change."""

    def __init__(
        self, folders: Folders, pattern: str, since: datetime | None, mailbox: WakeEvent
    ) -> None:
        self._folders, self._pattern, self._since = folders, pattern, since
        self._mailbox = mailbox
        self._known: dict[Path, int] | None = None  # when each had changed that was posted

    def keep_going(self, stop: threading.Event) -> None:
        """Post until `stop` is set; after an error it can be called again, and posts none twice."""
        for _ in _looks(self._folders, self._pattern, stop):
            matches = matching(self._folders, self._pattern)
            if self._known is None:
                self._known = self._older(matches)
            fresh = {path for path, at in matches.items() if self._known.get(path) != at}
            self._known = matches
            if fresh:
                log.debug("%d new files match %s", len(fresh), self._pattern)
                self._mailbox.post(paths={self._pattern: fresh})

    def _older(self, matches: Mapping[Path, int]) -> dict[Path, int]:
        if self._since is None:
            return {}
        since_ns = int(self._since.timestamp() * 1e9)
        return {path: at for path, at in matches.items() if at <= since_ns}


def matching(folders: Folders, pattern: str) -> dict[Path, int]:
    """The files that match, and when each last changed or came under its name [ns since 1970]."""
    base, rest = _parted(folders, pattern)
    stamps = {}
    for path in base.glob(rest):
        try:
            if path.is_file():
                stamps[path] = path.stat().st_ctime_ns  # a move keeps the time of its content
        except OSError:  # gone meanwhile
            continue
    return stamps


def _parted(folders: Folders, pattern: str) -> tuple[Path, str]:
    """The folder below which everything lies that can match, and the rest of the pattern."""
    root = Path("/") if pattern.startswith("/") else folders.data
    parts = pattern.strip("/").split("/")
    fixed = list(takewhile(lambda part: not set(part) & set("*?["), parts[:-1]))
    return root.joinpath(*fixed), "/".join(parts[len(fixed) :])


def _looks(folders: Folders, pattern: str, stop: threading.Event) -> Iterator[None]:
    """One at once, and one whenever something may have changed, at the latest after a second."""
    base, rest = _parted(folders, pattern)
    if base.is_relative_to(folders.data):
        base.mkdir(parents=True, exist_ok=True)
    yield
    while not stop.is_set():
        try:
            for _ in watch(
                base, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS, watch_filter=None,
                rust_timeout=LOOK_EVERY_MS, yield_on_timeout=True, raise_interrupt=False,
                recursive="/" in rest,
            ):  # fmt: skip
                yield
        except OSError:  # the folder is not there, or no more
            stop.wait(LOOK_EVERY_MS / 1000)
            yield

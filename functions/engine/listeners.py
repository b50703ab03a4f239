"""Listeners: commits and files that arrive while a loop waits are posted to its wake event."""

import logging
import stat
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

CHECK_EVERY_MS = 1000
# Files that are written together are posted together.
DEBOUNCE_MS = 50


class WakeEvent:
    """The tables and files that were posted to one loop since it last took them."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._lock = threading.Lock()
        self._tables: set[str] = set()
        self._paths: dict[str, set[Path]] = {}

    def post(
        self, tables: Iterable[str] = (), paths: Mapping[str, set[Path]] | None = None
    ) -> None:
        """Add tables that changed, and files by the pattern that they match, and wake the loop."""
        with self._lock:
            self._tables |= set(tables)
            for pattern, matches in (paths or {}).items():
                self._paths.setdefault(pattern, set()).update(matches)
            self.arrived.set()

    def take(self) -> tuple[set[str], dict[str, set[Path]]]:
        """Return the tables and files posted since the last call."""
        with self._lock:
            tables, paths = self._tables, self._paths
            self._tables, self._paths = set(), {}
            self.arrived.clear()
        return tables, paths


class CommitListener:
    """Posts the tables that each commit changed to any number of wake events."""

    def __init__(self, folders: Folders, stop: threading.Event) -> None:
        self._folders = folders
        self._stop = stop
        self._lock = threading.Lock()
        self._subscribers: set[WakeEvent] = set()
        SupervisedThread("commits", self._listen, stop).start()

    def subscribe(self, wake_event: WakeEvent) -> None:
        """Post to this one too from now on."""
        with self._lock:
            self._subscribers.add(wake_event)

    def unsubscribe(self, wake_event: WakeEvent) -> None:
        """Post to it no more."""
        with self._lock:
            self._subscribers.discard(wake_event)

    def _listen(self) -> None:
        for tables in watch_table_changes(
            self._folders.data, self._stop, timeout_ms=CHECK_EVERY_MS
        ):
            if tables:
                log.debug("commit received: %s", ", ".join(sorted(tables)))
                with self._lock:
                    for wake_event in self._subscribers:
                        wake_event.post(tables)


class FileWatch:
    """Posts the files that match and are newer than `since`, then those that come or change."""

    def __init__(
        self, folders: Folders, pattern: str, since: datetime | None, wake_event: WakeEvent
    ) -> None:
        self._folders, self._pattern, self._since = folders, pattern, since
        self._wake_event = wake_event
        self._known: dict[Path, int] | None = None  # when each posted file had changed [ns]
        self._links: set[Path] = set()

    def keep_going(self, stop: threading.Event) -> None:
        """Post until `stop` is set. After an error it can be called again, and posts none twice."""
        for _ in _wake_ups(self._folders, self._pattern, stop):
            matches, links = matching(self._folders, self._pattern)
            for path in sorted(links - self._links):
                log.warning("%s is a link or lies behind one, and is not handed over", path)
            self._links = links
            if self._known is None:
                self._known = self._older(matches)
            fresh = {path for path, at in matches.items() if self._known.get(path) != at}
            self._known = matches
            if fresh:
                log.debug("%d new files match %s", len(fresh), self._pattern)
                self._wake_event.post(paths={self._pattern: fresh})

    def _older(self, matches: Mapping[Path, int]) -> dict[Path, int]:
        if self._since is None:
            return {}
        since_ns = int(self._since.timestamp() * 1e9)
        return {path: at for path, at in matches.items() if at <= since_ns}


def matching(folders: Folders, pattern: str) -> tuple[dict[Path, int], set[Path]]:
    """Return the files that match, with the time of the last change or rename [ns since 1970].

    And the links that match, or lie behind one: who may write there could name any file by them.
    """
    base, rest = _split(folders, pattern)
    stamps, links, real = {}, set(), base.resolve()
    for path in base.glob(rest):
        try:
            status = path.lstat()
            if path.parent.resolve() != real / path.parent.relative_to(base):
                links.add(path)
            elif stat.S_ISREG(status.st_mode):
                stamps[path] = status.st_ctime_ns  # a rename keeps the mtime
            elif stat.S_ISLNK(status.st_mode):
                links.add(path)
        except (OSError, RuntimeError):  # removed meanwhile, or links in a circle
            continue
    return stamps, links


def _split(folders: Folders, pattern: str) -> tuple[Path, str]:
    """Return the folder below which every match lies, and the rest of the pattern."""
    root = Path("/") if pattern.startswith("/") else folders.data
    parts = pattern.strip("/").split("/")
    fixed = list(takewhile(lambda part: not set(part) & set("*?["), parts[:-1]))
    return root.joinpath(*fixed), "/".join(parts[len(fixed) :])


def _wake_ups(folders: Folders, pattern: str, stop: threading.Event) -> Iterator[None]:
    """Yield at once, and whenever a file may have changed, at the latest after CHECK_EVERY_MS."""
    base, rest = _split(folders, pattern)
    if base.is_relative_to(folders.data):
        base.mkdir(parents=True, exist_ok=True)
    yield
    while not stop.is_set():
        try:
            for _ in watch(
                base, stop_event=stop, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS, watch_filter=None,
                rust_timeout=CHECK_EVERY_MS, yield_on_timeout=True, raise_interrupt=False,
                recursive="/" in rest,
            ):  # fmt: skip
                yield
        except OSError:  # the folder does not exist (any more)
            stop.wait(CHECK_EVERY_MS / 1000)
            yield

"""Scrub: the writer reads all files of the lake in turn, slowly, and compares their hashes."""

import logging
from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from storage.config.folders import Folders
from storage.lake.damage_watch import DamageWatch
from storage.lake.file_check import LakeFile
from storage.lake.file_health import ScrubState, read_scrub_state
from storage.lake.hash_manifest import FileHash

__all__ = ["Scrub"]

log = logging.getLogger(__name__)

ROUND_S = 3 * 86_400.0
LEAST_BYTES_PER_S = 100_000.0
LEAST_PAUSE_S = 0.5  # between two files
LIST_EVERY_S = 600.0
PAUSE = timedelta(days=1)  # from the beginning of a round to that of the next, at least
SAVE_EVERY_S = 60.0
PAUSE_AFTER_ERROR_S = 60.0
URGENT_EVERY_S = 3_600.0


class Scrub:
    """Reads one file of the lake at each step that is due: a whole round takes about three days.

    A round of a small lake is shorter, and begins once a day.
    """

    def __init__(self, folders: Folders, watch: DamageWatch, now: datetime) -> None:
        self._folders, self._watch = folders, watch
        self.state = read_scrub_state(folders) or ScrubState(now)
        self._waiting: deque[LakeFile] = deque()
        self._hashes: dict[str, FileHash] = {}
        self._due_s = self._list_s = self._save_s = float("-inf")
        self._urgent, self._urgent_s = False, float("-inf")

    def hurry(self, now_s: float) -> None:
        """Read all files at once, beginning with the first: a reader met a damaged one."""
        if now_s - self._urgent_s >= URGENT_EVERY_S:
            log.warning("a reader met a damaged file without a name: all files are checked now")
            self._urgent, self._urgent_s = True, now_s
            self._begin(self.state.began)
            self._due_s = float("-inf")

    def step(self, now_s: float, now: datetime) -> bool:
        """Read the next file if it is due at `now_s`, on a monotonic clock.

        Returns True when another one is due at once. Raises OSError and duckdb.Error.
        """
        if now_s < self._due_s:
            return False
        self._due_s = now_s + PAUSE_AFTER_ERROR_S
        if self.state.ended is not None:
            if now - self.state.began < PAUSE:
                return False
            self._begin(now)
        if now_s >= self._list_s or not self._waiting:
            self._list_files(now_s)
        if self._waiting:
            self._read(self._waiting.popleft(), now_s)
        else:
            self._end(now)
        return self._urgent

    def _read(self, file: LakeFile, now_s: float) -> None:
        state, outcome = self.state, self._watch.scrub(file, self._hashes.get(file.path))
        state.after = file.path
        state.files += 1
        state.bytes += file.bytes
        state.adopted += outcome == "adopted"
        state.damaged += outcome == "damaged"
        rate = max(LEAST_BYTES_PER_S, state.total_bytes / ROUND_S)
        self._due_s = now_s if self._urgent else now_s + max(LEAST_PAUSE_S, file.bytes / rate)
        if now_s >= self._save_s:
            self._save_s = now_s + SAVE_EVERY_S
            self._save()

    def _list_files(self, now_s: float) -> None:
        files = self._watch.files()
        self.state.total_bytes = sum(file.bytes for file in files)
        self._waiting = deque(file for file in files if file.path > self.state.after)
        self._hashes = self._watch.hashes()
        self._list_s = now_s + LIST_EVERY_S

    def _begin(self, now: datetime) -> None:
        old = self.state
        self.state = ScrubState(
            now, last_round_ended=old.last_round_ended, last_round_files=old.last_round_files
        )
        self._list_s = float("-inf")

    def _end(self, now: datetime) -> None:
        state = self.state
        state.ended = state.last_round_ended = now
        state.last_round_files = state.files
        self._urgent = False
        log.info(
            "all %d files of the lake checked: %d damaged, %d without a known hash, now recorded",
            state.files, state.damaged, state.adopted,
        )  # fmt: skip
        self._save()

    def _save(self) -> None:
        draft = self._folders.scrub.with_suffix(".draft")
        with suppress(OSError):  # only figures are lost
            draft.write_bytes(msgspec.json.encode(self.state))
            draft.replace(self._folders.scrub)

"""Sandboxes of one lake: warm ones wait for queries, and one that was killed is replaced."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from storage.config.folders import Folders
from storage.config.settings import SettingsError
from storage.errors import HoursightError, LakeMissing, LakeUnreadable
from storage.lake.catalog import LakeLocation, lake_location
from storage.lake.catalog_holder import hold_catalog_open
from storage.sandbox.cage import missing_for_cage
from storage.sandbox.frames import QueryRequest
from storage.sandbox.sandbox_process import QueryRows, SandboxProcess, SandboxUnavailable

__all__ = ["SandboxPool"]

log = logging.getLogger(__name__)

REMEDY = "run queries with 'hoursight sql' on this machine"


class SandboxPool:
    """Runs statements in sandboxes; safe to share between threads.

    Nothing is started before the first query or `warm`. At most `max_idle` sandboxes wait.
    """

    def __init__(self, folders: Folders, max_idle: int = 1) -> None:
        self._folders, self._max_idle = folders, max_idle
        self._lock = threading.Lock()
        self._idle: list[SandboxProcess] = []
        # A sandbox is killed when the thread that started it ends: this one lives as long as we do.
        self._starter = ThreadPoolExecutor(1, "sandbox starter")
        self._holding = ExitStack()
        self._held = False
        self._closed = False
        self._starting: SandboxProcess | None = None

    def unavailable(self) -> SandboxUnavailable | None:
        """Return why no sandbox can run here; None where one can."""
        missing = missing_for_cage()
        if missing:
            return SandboxUnavailable(missing, REMEDY)
        try:
            location = lake_location(self._folders)
        except SettingsError as error:
            return SandboxUnavailable(str(error))
        if location.catalog.networked:
            return SandboxUnavailable(
                "the lake's catalog is in PostgreSQL, which a process without network cannot reach",
                REMEDY,
            )
        return None

    def run(self, request: QueryRequest) -> QueryRows:
        """Run one statement.

        Raises SandboxFailed, SandboxUnavailable, LakeMissing and LakeUnreadable.
        """
        sandbox = self._take()
        try:
            return sandbox.run(request)
        finally:
            self._give_back(sandbox)

    def warm(self) -> None:
        """Start a sandbox in the background, unless one waits."""
        with self._lock:
            if self._idle or self._closed:
                return
        self._starter.submit(self._start_idle)

    def close(self) -> None:
        """End all sandboxes."""
        with self._lock:
            self._closed = True
            if self._starting is not None:
                self._starting.kill()
        self._starter.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            idle, self._idle = self._idle, []
        for sandbox in idle:
            sandbox.close()
        self._holding.close()

    def _take(self) -> SandboxProcess:
        sandbox = self._pop_current()
        return sandbox or self._starter.submit(self._take_or_start).result()

    def _take_or_start(self) -> SandboxProcess:
        """In the starter's thread, where one may just have been started."""
        return self._pop_current() or self._start()

    def _pop_current(self) -> SandboxProcess | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                sandbox = self._idle.pop()
            if sandbox.is_current():
                return sandbox
            sandbox.close()

    def _give_back(self, sandbox: SandboxProcess) -> None:
        if not sandbox.is_current():
            sandbox.close()
            if not self._closed:
                self.warm()
        elif not self._added(sandbox):
            sandbox.close()

    def _added(self, sandbox: SandboxProcess) -> bool:
        with self._lock:
            room = len(self._idle) < self._max_idle and not self._closed
            if room:
                self._idle.append(sandbox)
            return room

    def _start_idle(self) -> None:
        try:
            sandbox = self._take_or_start()
        except HoursightError as error:
            if not self._closed:
                log.warning("no sandbox for queries: %s", error)
            return
        if not self._added(sandbox):
            sandbox.close()

    def _start(self) -> SandboxProcess:
        unavailable = self.unavailable()
        if unavailable:
            raise unavailable
        location = lake_location(self._folders)
        self._hold(location)
        try:
            sandbox = SandboxProcess(self._folders, location)
        except OSError as error:
            raise LakeUnreadable(f"no process can be started: {error.strerror}") from error
        with self._lock:
            self._starting = sandbox
            if self._closed:
                sandbox.kill()
        try:
            sandbox.wait_until_ready()
        finally:
            self._starting = None
        return sandbox

    def _hold(self, location: LakeLocation) -> None:
        """Have the catalog's WAL kept: a sandbox cannot create it."""
        if location.catalog.identity() is None:
            raise LakeMissing(self._folders.data)
        if not self._held:
            self._holding.enter_context(hold_catalog_open(self._folders))
            self._held = True

"""Functions in processes of their own, stopped at their deadline or their memory limit.

A child that crashes, hangs, leaks or talks nonsense is ended and replaced, and the run says how it
ended. The child writes nothing: its rows come back as a whole or not at all, and the runner writes
the segment, so that a kill at any moment leaves neither half a batch nor a cursor without its rows.
This keeps accidents apart; it is no fence against malice.
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil

from functions.engine.executors.executor import CallRequest, CallResult, Cost, RunStopped
from functions.engine.executors.worker_protocol import (
    CallMessage,
    CallReply,
    CodeSource,
    InvalidMessage,
    LoadMessage,
    LoadReply,
    Message,
    MessageReader,
    batch_of,
    packed,
)
from functions.engine.function import Declared
from storage.config.folders import Folders
from storage.config.settings import Settings
from storage.errors import HoursightError
from storage.platform import logs
from storage.platform.threads import SupervisedThread

__all__ = ["LoadFailed", "SubprocessExecutor", "WorkerFactory"]

log = logging.getLogger(__name__)

# How often a running child is looked at; a leak goes past its limit by what it takes meanwhile.
TICK_S = 0.05
LOAD_WITHIN = timedelta(seconds=20)
LOAD_MEMORY_MB = 1024
CHUNK = 1 << 20
TAIL_BYTES = 8192
LAST_WORDS = 200
_MEGABYTE = 1 << 20
_ROOT = Path(__file__).parents[3]
_FRAME = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+) in (?P<name>\S+)')


class LoadFailed(HoursightError):
    """A source has no functions, or fails when it is imported; the message says why."""


class WorkerFactory:
    """Starts children for one data folder."""

    def __init__(self, folders: Folders, settings: Settings) -> None:
        self.folders = folders
        self._settings = msgspec.msgpack.encode(settings)
        # A child is killed when the thread that started it ends: this one lives as long as we do.
        self._starter = ThreadPoolExecutor(1, "nursery")

    def child(self) -> "WorkerProcess":
        """A new child that has loaded nothing yet."""
        return self._starter.submit(WorkerProcess, self.folders).result()

    def first_word(self, source: CodeSource) -> LoadMessage:
        """What makes a child load `source`."""
        return LoadMessage(source, str(self.folders.data), self._settings)


class WorkerProcess:
    """One child process, asked by one thread at a time."""

    def __init__(self, folders: Folders) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(TICK_S)
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # -P: a file in the data folder must not stand in for a module of Python's.
        command = [sys.executable, "-P", "-u", "-m", "functions.worker_process"]
        log_end = os.dup(2)  # what the child logs goes where we log; what it prints comes to us
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid()), str(log_end)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), log_end], start_new_session=True, cwd=folders.data,
                env=os.environ | logs.environment() | {"PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        except OSError:
            self._line.close()
            raise
        finally:
            theirs.close()
            os.close(log_end)
        log.debug("child %d started", self._process.pid)
        self._watched = psutil.Process(self._process.pid)
        self._cost = Cost()
        self._tail = b""
        self._killed = threading.Event()
        self._listener = SupervisedThread(
            "child's output", self._listen, self._killed, once=True
        ).start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    @property
    def printed(self) -> str:
        """The end of what it printed since it was last asked."""
        return self._tail.decode(errors="replace")

    def ask(
        self, message: Message, within: timedelta, memory_mb: int, stop: threading.Event
    ) -> tuple[Message, list[bytes]]:
        """Its answer; Stopped when there is none, and then there is no child any more."""
        self._tail, self._cost, incoming = b"", Cost(), MessageReader()
        give_up = time.monotonic() + within.total_seconds()
        try:
            self._send(packed(message))
            while True:
                more = self._receive()
                whole = incoming.add(more) if more else None
                if whole is not None:
                    return whole
                self._look(give_up, within, memory_mb, stop)
        except InvalidMessage as error:
            raise self._stopped("crashed", f"it answered with nonsense: {error}") from error
        except OSError as error:
            raise self._crashed() from error

    def kill(self) -> None:
        """End it and whatever it started."""
        self._killed.set()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        log.debug("child %d %s", self._process.pid, _how_it_ended(code))
        self._listener.join(timeout=1)
        self._line.close()

    def _send(self, whole: bytes) -> None:
        self._line.settimeout(LOAD_WITHIN.total_seconds())
        self._line.sendall(whole)
        self._line.settimeout(TICK_S)

    def _receive(self) -> bytes:
        try:
            more = self._line.recv(CHUNK)
        except TimeoutError:
            return b""
        if not more:
            raise ConnectionResetError
        return more

    def _look(
        self, give_up: float, within: timedelta, memory_mb: int, stop: threading.Event
    ) -> None:
        with suppress(psutil.Error):
            times = self._watched.cpu_times()
            rss_mb = self._watched.memory_info().rss / _MEGABYTE
            peak_mb = max(rss_mb, self._cost.peak_rss_mb)
            self._cost = Cost(times.user + times.system, peak_mb)
            if rss_mb > memory_mb:
                raise self._stopped(
                    "out of memory",
                    f"it held {rss_mb:.0f} MB, more than the {memory_mb} MB that it may",
                )
        if stop.is_set():
            raise self._stopped("stopped", "the system stops")
        if time.monotonic() > give_up:
            raise self._stopped(
                "timed out", f"it still ran at its deadline of {within.total_seconds():g} s"
            )

    def _stopped(self, outcome: str, why: str) -> RunStopped:
        if outcome != "stopped":
            self._make_it_tell()
        self.kill()
        log.debug("child %d was stopped: %s, %s", self._process.pid, outcome, why)
        return RunStopped(outcome, why + self._last_words(), self._cost)

    def _make_it_tell(self) -> None:
        """Have it print where it stands."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        for _ in range(10):
            if _FRAME.search(self.printed):
                return
            self._listener.join(timeout=TICK_S)

    def _crashed(self) -> RunStopped:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        code = self._process.returncode
        self.kill()
        how = "hung up" if code is None else _how_it_ended(code)
        return RunStopped("crashed", f"its process {how}{self._last_words()}", self._cost)

    def _last_words(self) -> str:
        """Where it stood, as far as it said so; else the last that it printed."""
        frames = list(_FRAME.finditer(self.printed))
        own = [f for f in frames if not f["path"].startswith((sys.prefix, sys.base_prefix, "<"))]
        for frame in (own or frames)[:1]:
            return (
                f"; it was at line {frame['line']} of {Path(frame['path']).name}, {frame['name']}"
            )
        lines = self.printed.strip().splitlines()
        return f"; its last words: {lines[-1][:LAST_WORDS]!r}" if lines else ""

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while more := os.read(self._process.stdout.fileno(), CHUNK):
            self._tail = (self._tail + more)[-TAIL_BYTES:]
        self._process.stdout.close()


class SubprocessExecutor:
    """The hands of one source: its child is started when it is needed, and again when it died."""

    def __init__(self, worker_factory: WorkerFactory, source: CodeSource) -> None:
        self.source = source
        self.functions: tuple[Declared, ...] = ()
        self._worker_factory = worker_factory
        self._child: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._number = 0

    @property
    def busy(self) -> bool:
        """Whether a call has to wait."""
        return self._lock.locked()

    def another(self) -> "SubprocessExecutor":
        """One more for the same source."""
        return SubprocessExecutor(self._worker_factory, self.source)

    def load(self) -> "SubprocessExecutor":
        """Load the source; LoadFailed says why it cannot be, Stopped that it is to be no more."""
        with self._lock:
            self._living()
        return self

    def call(self, function: Declared, asked: CallRequest) -> CallResult:
        """Call it in the child; raises Stopped with how it ended when it brings nothing."""
        with self._lock:
            try:
                child = self._living()
            except LoadFailed as error:
                raise RunStopped("failed", str(error)) from error
            called, blobs = self._ask(child, function, asked)
            cost = Cost(called.cpu_s, called.peak_rss_mb)
            if called.error is not None:
                raise RunStopped(called.outcome, called.error, cost, called.raised)
            try:
                batch = batch_of(called, blobs)
            except InvalidMessage as error:
                child.kill()
                raise RunStopped("crashed", str(error), cost) from error
            return CallResult(batch, called.snapshot, called.rows_in, cost)

    @property
    def printed(self) -> str:
        """The end of what the last run printed."""
        return self._child.printed if self._child else ""

    def close(self) -> None:
        """End the child, also in the middle of a run."""
        self._stop.set()
        with self._lock:
            if self._child is not None:
                self._child.kill()

    def _ask(
        self, child: WorkerProcess, function: Declared, asked: CallRequest
    ) -> tuple[CallReply, Sequence[bytes]]:
        self._number += 1
        paths = tuple(str(path) for path in asked.paths)
        message = CallMessage(
            self._number, function.name, asked.now, asked.cursor, paths, asked.body,
            logs.current_run(),
        )  # fmt: skip
        began = time.perf_counter()
        answer, blobs = child.ask(message, function.deadline, function.memory_mb, self._stop)
        log.debug(
            "call %d of %s answered after %.1f ms: %s, %d bytes of rows",
            self._number, function.name, 1000 * (time.perf_counter() - began),
            getattr(answer, "outcome", "nothing that was asked"), sum(map(len, blobs)),
        )  # fmt: skip
        if not isinstance(answer, CallReply) or answer.number != self._number:
            child.kill()
            raise RunStopped("crashed", "it answered something else than it was asked")
        return answer, blobs

    def _living(self) -> WorkerProcess:
        if self._child is not None and not self._child.alive:
            self._child.kill()
            self._child = None
        if self._child is None:
            child, first = (
                self._worker_factory.child(),
                self._worker_factory.first_word(self.source),
            )
            try:
                answer, _ = child.ask(first, LOAD_WITHIN, LOAD_MEMORY_MB, self._stop)
            except RunStopped as error:
                if error.outcome == "stopped":
                    raise
                log.debug("child of %s not loaded: %s", self.source.name, error)
                raise LoadFailed(f"while it was loaded {error}") from error
            if not isinstance(answer, LoadReply) or answer.error is not None:
                child.kill()
                raise LoadFailed(getattr(answer, "error", None) or "it cannot be loaded")
            for warning in answer.warnings:
                log.warning("%s, %s", Path(self.source.path or self.source.name).name, warning)
            self._child, self.functions = child, answer.functions
            names = ", ".join(function.name for function in self.functions)
            log.debug("child of %s loaded: %s", self.source.name, names)
        return self._child


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by signal {-code} ({name})"

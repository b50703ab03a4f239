"""Functions in worker processes, which are killed at their deadline or their memory limit.

A worker that crashes, hangs, leaks or sends nonsense is killed and replaced, and the run says how
it ended. The worker writes nothing: its rows come back whole or not at all, and the runner writes
the segment, so that a kill at any time leaves neither half a batch nor a cursor without its rows.
This contains accidents; it is no protection against malice.
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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil

from functions.engine.executors.executor import RunStopped
from functions.engine.executors.function_call import CallRequest, CallResult, Cost
from functions.engine.executors.worker_environment import unnamed_variables, worker_environment
from functions.engine.executors.worker_protocol import (
    CallMessage,
    CallReply,
    CodeSource,
    InvalidMessage,
    LoadMessage,
    LoadReply,
    Message,
    MessageReader,
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

# How often a running worker is checked; a leak passes its limit by what it takes meanwhile.
CHECK_EVERY_S = 0.05
LOAD_WITHIN = timedelta(seconds=20)
LOAD_MEMORY_MB = 1024
CHUNK = 1 << 20
OUTPUT_KEPT_BYTES = 8192
LAST_LINE_CHARS = 200
_MEGABYTE = 1 << 20
_ROOT = Path(__file__).parents[3]
_FRAME = re.compile(r'File "(?P<path>[^"]+)", line (?P<line>\d+) in (?P<name>\S+)')


class LoadFailed(HoursightError):
    """A source has no functions, or raises when it is imported; the message says why."""


class WorkerFactory:
    """Starts workers for one data folder."""

    def __init__(self, folders: Folders, settings: Settings) -> None:
        self.folders = folders
        self.settings = settings
        self._settings = msgspec.msgpack.encode(settings)
        # A worker is killed when the thread that started it ends: this one lives as long as we do.
        self._starter = ThreadPoolExecutor(1, "worker starter")

    def start(self, source: CodeSource) -> "WorkerProcess":
        """Start a worker for `source` that has loaded nothing yet."""
        environment = worker_environment(source, self.settings)
        return self._starter.submit(WorkerProcess, self.folders, environment).result()

    def load_message(self, source: CodeSource) -> LoadMessage:
        """Return the message that makes a worker load `source`."""
        return LoadMessage(source, str(self.folders.data), self._settings)


class WorkerProcess:
    """One worker process, used by one thread at a time."""

    def __init__(self, folders: Folders, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(CHECK_EVERY_S)
        paths = [str(_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        # -P: a file in the data folder must not replace a module of Python's.
        command = [sys.executable, "-P", "-u", "-m", "functions.worker_process"]
        log_end = os.dup(2)  # its log goes where ours goes; what it prints comes to us
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid()), str(log_end)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno(), log_end], start_new_session=True, cwd=folders.data,
                env={**environment, **logs.environment(), "PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
            os.close(log_end)
        log.debug("worker %d started", self._process.pid)
        self._usage = psutil.Process(self._process.pid)
        self._cost = Cost()
        self._output = b""
        self._killed = threading.Event()
        self._output_reader = SupervisedThread(
            "worker's output", self._read_output, self._killed, once=True
        ).start()

    @property
    def alive(self) -> bool:
        """Return True if the process runs."""
        return self._process.poll() is None

    @property
    def printed(self) -> str:
        """Return the end of what it printed since the last request."""
        return self._output.decode(errors="replace")

    def request(
        self, message: Message, within: timedelta, memory_mb: int, stop: threading.Event
    ) -> Message:
        """Send a message and return the reply.

        Raises RunStopped when there is none: then the process has ended.
        """
        self._output, self._cost, incoming = b"", Cost(), MessageReader()
        give_up = time.monotonic() + within.total_seconds()
        try:
            self._send(packed(message))
            while True:
                more = self._receive()
                reply = incoming.add(more) if more else None
                if reply is not None:
                    return reply
                self._check(give_up, within, memory_mb, stop)
        except InvalidMessage as error:
            raise self._stopped("crashed", f"it answered with nonsense: {error}") from error
        except OSError as error:
            raise self._crashed() from error

    def kill(self) -> None:
        """End the process and whatever it started."""
        self._killed.set()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        log.debug("worker %d %s", self._process.pid, _how_it_ended(code))
        self._output_reader.join(timeout=1)
        self._socket.close()

    def _send(self, message: bytes) -> None:
        self._socket.settimeout(LOAD_WITHIN.total_seconds())
        self._socket.sendall(message)
        self._socket.settimeout(CHECK_EVERY_S)

    def _receive(self) -> bytes:
        try:
            more = self._socket.recv(CHUNK)
        except TimeoutError:
            return b""
        if not more:
            raise ConnectionResetError
        return more

    def _check(
        self, give_up: float, within: timedelta, memory_mb: int, stop: threading.Event
    ) -> None:
        """Raise RunStopped if a limit is passed or the system stops."""
        with suppress(psutil.Error):
            times = self._usage.cpu_times()
            rss_mb = self._usage.memory_info().rss / _MEGABYTE
            peak_mb = max(rss_mb, self._cost.peak_rss_mb)
            self._cost = Cost(times.user + times.system, peak_mb)
            if rss_mb > memory_mb:
                raise self._stopped(
                    "out of memory",
                    f"it used {rss_mb:.0f} MB, more than its limit of {memory_mb} MB",
                )
        if stop.is_set():
            raise self._stopped("stopped", "the system stops")
        if time.monotonic() > give_up:
            raise self._stopped(
                "timed out", f"it still ran at its deadline of {within.total_seconds():g} s"
            )

    def _stopped(self, outcome: str, why: str) -> RunStopped:
        if outcome != "stopped":
            self._print_stack()
        self.kill()
        log.debug("worker %d was stopped: %s, %s", self._process.pid, outcome, why)
        return RunStopped(outcome, why + self._last_position(), self._cost)

    def _print_stack(self) -> None:
        """Have the worker print its stack, and wait for that."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        for _ in range(10):
            if _FRAME.search(self.printed):
                return
            self._output_reader.join(timeout=CHECK_EVERY_S)

    def _crashed(self) -> RunStopped:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        code = self._process.returncode
        self.kill()
        how = "closed its connection" if code is None else _how_it_ended(code)
        return RunStopped("crashed", f"its process {how}{self._last_position()}", self._cost)

    def _last_position(self) -> str:
        """Return the line at which it was, if it printed its stack, else its last line."""
        frames = list(_FRAME.finditer(self.printed))
        own = [f for f in frames if not f["path"].startswith((sys.prefix, sys.base_prefix, "<"))]
        for frame in (own or frames)[:1]:
            return (
                f"; it was at line {frame['line']} of {Path(frame['path']).name}, {frame['name']}"
            )
        lines = self.printed.strip().splitlines()
        return f"; its last output: {lines[-1][:LAST_LINE_CHARS]!r}" if lines else ""

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        while more := os.read(self._process.stdout.fileno(), CHUNK):
            self._output = (self._output + more)[-OUTPUT_KEPT_BYTES:]
        self._process.stdout.close()


class SubprocessExecutor:
    """Calls the functions of one source in a worker, which is replaced after it died."""

    def __init__(self, worker_factory: WorkerFactory, source: CodeSource) -> None:
        self.source = source
        self.functions: tuple[Declared, ...] = ()
        self._worker_factory = worker_factory
        self._worker: WorkerProcess | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._number = 0

    @property
    def busy(self) -> bool:
        """Return True if a call would have to wait."""
        return self._lock.locked()

    def another(self) -> "SubprocessExecutor":
        """Return one more executor for the same source."""
        return SubprocessExecutor(self._worker_factory, self.source)

    def load(self) -> "SubprocessExecutor":
        """Load the source. Raises LoadFailed, and RunStopped after `close`."""
        with self._lock:
            self._loaded_worker()
        return self

    def call(self, function: Declared, request: CallRequest) -> CallResult:
        """Call a function in the worker. Raises RunStopped with the outcome if nothing comes back.

        What the worker returns are rows and a cursor; the error of a function is a RunStopped too.
        """
        with self._lock:
            try:
                worker = self._loaded_worker()
            except LoadFailed as error:
                raise RunStopped("failed", str(error)) from error
            reply = self._reply(worker, function, request)
        if reply.result is None:
            why = reply.error or "it returned nothing"
            raise RunStopped(reply.outcome, why, reply.cost, reply.raised)
        return msgspec.structs.replace(reply.result, cost=reply.cost)

    def close(self) -> None:
        """Kill the worker, also in the middle of a run."""
        self._stop.set()
        with self._lock:
            if self._worker is not None:
                self._worker.kill()

    def _reply(self, worker: WorkerProcess, function: Declared, request: CallRequest) -> CallReply:
        self._number += 1
        message = CallMessage(self._number, function.name, request, logs.current_run())
        began = time.perf_counter()
        reply = worker.request(message, function.deadline, function.memory_mb, self._stop)
        log.debug(
            "call %d of %s answered after %.1f ms: %s",
            self._number, function.name, 1000 * (time.perf_counter() - began),
            getattr(reply, "outcome", "another message than a reply"),
        )  # fmt: skip
        if not isinstance(reply, CallReply) or reply.number != self._number:
            worker.kill()
            raise RunStopped("crashed", "it answered another message than the call")
        return reply

    def _loaded_worker(self) -> WorkerProcess:
        if self._worker is not None and not self._worker.alive:
            self._worker.kill()
            self._worker = None
        if self._worker is None:
            self._worker = self._started_worker()
        return self._worker

    def _started_worker(self) -> WorkerProcess:
        if self.source.refusal:
            raise LoadFailed(self.source.refusal)
        worker = self._worker_factory.start(self.source)
        message = self._worker_factory.load_message(self.source)
        try:
            reply = worker.request(message, LOAD_WITHIN, LOAD_MEMORY_MB, self._stop)
        except RunStopped as error:
            if error.outcome == "stopped":
                raise
            log.debug("worker of %s not loaded: %s", self.source.name, error)
            raise LoadFailed(f"while it was loaded {error}") from error
        if not isinstance(reply, LoadReply) or reply.error is not None:
            worker.kill()
            raise LoadFailed(getattr(reply, "error", None) or "its worker did not load it")
        for warning in reply.warnings:
            log.warning("%s, %s", Path(self.source.path or self.source.name).name, warning)
        for name in unnamed_variables(self.source, self._worker_factory.settings):
            log.warning(
                "%s seems to read %s, which is not passed to functions: name it in hoursight.toml, "
                "[functions.%s] environment = [%r]", self.source.path, name, self.source.name, name,
            )  # fmt: skip
        self.functions = reply.functions
        names = ", ".join(function.name for function in reply.functions)
        log.debug("worker of %s loaded: %s", self.source.name, names)
        return worker


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by signal {-code} ({name})"

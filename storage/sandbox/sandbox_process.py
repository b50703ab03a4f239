"""One sandbox as the process sees it that started it: it is killed when it does not answer."""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from storage.config.folders import Folders
from storage.errors import HoursightError, QueryFailed
from storage.lake.catalog import LakeLocation
from storage.platform.process import with_parent_death_signal
from storage.sandbox.frames import (
    END,
    FAILED,
    FRAME,
    READY,
    ROWS,
    Ended,
    Failure,
    QueryRequest,
    deadline_failure,
    request_bytes,
)
from storage.sandbox.lake_paths import lake_stamp

__all__ = ["QueryRows", "SandboxFailed", "SandboxProcess", "SandboxUnavailable"]

log = logging.getLogger(__name__)

START_WITHIN_S = 60.0
# How long after the deadline a sandbox may take to say that it has stopped the query.
GRACE_S = 0.3
SPARE_BYTES = 16 << 20  # of a reply beyond the rows: its schema and frames
_ROOT = Path(__file__).parents[2]
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV")
# Threads of libraries would exist before the cage does.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
CRASHED = "the query ended the process that ran it"


class SandboxUnavailable(HoursightError):
    """No sandbox can run here; the message says why, and the remedy what can be done instead."""


class SandboxFailed(QueryFailed):
    """A query of a sandbox has no rows; `kind` and `at` are those of the `Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, failure.remedy)
        self.kind, self.at = failure.kind, failure.at


@dataclass(frozen=True, slots=True)
class QueryRows:
    """Rows of a query; `truncated` says that there are more."""

    rows: pa.Table
    truncated: bool
    took_ms: float


class SandboxProcess:
    """A sandbox, for one thread at a time, once `wait_until_ready` has returned."""

    def __init__(self, folders: Folders, location: LakeLocation) -> None:
        self._began = time.perf_counter()
        self._stamp = lake_stamp(folders, location.files)
        self._folders, self._files = folders, location.files
        command = [sys.executable, "-P", "-m", "storage.sandbox"]
        command += [str(folders.data), str(location.files)]
        self._process = subprocess.Popen(
            with_parent_death_signal(command, signal.SIGKILL),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
            cwd="/", start_new_session=True, env=_environment(),
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()

    def wait_until_ready(self) -> None:
        """Wait until it can answer. Raises SandboxUnavailable; it has ended then."""
        with ExitStack() as undo:
            undo.callback(self.close)
            self._read_ready()
            undo.pop_all()
        took_ms = 1000 * (time.perf_counter() - self._began)
        log.debug("sandbox %d ready after %.0f ms", self._process.pid, took_ms)

    def is_current(self) -> bool:
        """Return True while it lives, and the files that it may read are those of the lake."""
        return self._process.poll() is None and self._stamp == lake_stamp(
            self._folders, self._files
        )

    def run(self, request: QueryRequest) -> QueryRows:
        """Run one statement. Raises SandboxFailed; the sandbox may be at its end then."""
        began = time.monotonic()
        try:
            _write_all(self._requests, request_bytes(request))
            rows, ended = self._read_reply(request, began + request.deadline_s + GRACE_S)
        except TimeoutError:  # which is an OSError, too
            self.close()
            raise SandboxFailed(deadline_failure(request)) from None
        except (OSError, EOFError):
            self.close()
            raise SandboxFailed(Failure("failed", CRASHED, "change the query")) from None
        return QueryRows(_table(rows), ended.truncated, ended.took_ms)

    def kill(self) -> None:
        """Kill it; it has nothing to lose. Whoever waits for it is told."""
        self._process.kill()

    def close(self) -> None:
        """Kill it and forget it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _read_ready(self) -> None:
        try:
            kind, body = next(self._frames(time.monotonic() + START_WITHIN_S, SPARE_BYTES))
        except (EOFError, TimeoutError) as error:
            raise SandboxUnavailable(
                "the process that runs queries did not start",
                "see the log, and run queries with 'hoursight sql'",
            ) from error
        if kind != READY:
            failure = msgspec.json.decode(body, type=Failure)
            raise SandboxUnavailable(failure.message, failure.remedy)

    def _read_reply(self, request: QueryRequest, until: float) -> tuple[bytes, Ended]:
        pieces = []
        for kind, body in self._frames(until, request.max_bytes + SPARE_BYTES):
            if kind == ROWS:
                pieces.append(body)
            elif kind == FAILED:
                raise SandboxFailed(msgspec.json.decode(body, type=Failure))
            elif kind == END:
                return b"".join(pieces), msgspec.json.decode(body, type=Ended)
        raise EOFError

    def _frames(self, until: float, max_bytes: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield frames. Raises EOFError, and TimeoutError at the monotonic time `until`."""
        while True:
            kind, size = FRAME.unpack(self._exactly(FRAME.size, until))
            max_bytes -= size
            if max_bytes < 0:
                raise EOFError  # more than it was allowed to send
            yield kind, self._exactly(size, until)

    def _exactly(self, size: int, until: float) -> bytes:
        pieces = []
        while size:
            ready, _, _ = select.select([self._replies], [], [], max(0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            piece = os.read(self._replies, min(size, 1 << 20))
            if not piece:
                raise EOFError
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


def _environment() -> dict[str, str]:
    """The variables of a sandbox: no password, and nothing that loads other code."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, **ONE_THREAD, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _write_all(descriptor: int, body: bytes) -> None:
    view = memoryview(body)
    while view:
        view = view[os.write(descriptor, view) :]


def _table(stream: bytes) -> pa.Table:
    """The rows of an Arrow stream, checked: a query may have taken the sandbox over."""
    try:
        rows = pa.ipc.open_stream(stream).read_all()
        rows.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SandboxFailed(Failure("failed", CRASHED, "change the query")) from error
    return rows

"""Supervisor: runs the processes of the Procfile, restarts each, and records starts and ends."""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from scripts.process_output import OutputPipe
from scripts.procfile import PROCFILE, read_procfile
from scripts.python_process import module_environment
from storage.config.folders import Folders
from storage.config.settings import SettingsError
from storage.errors import HoursightError
from storage.inbox import segment
from storage.platform.process import exclusive_lock, with_parent_death_signal

__all__ = ["AlreadyRunning", "Supervisor", "claim"]

BACK_OFF_S = (1, 2, 4, 8, 16, 30)
STEADY_S = 60  # a process that ran this long is restarted without a longer pause
STOP_WITHIN_S = 10
DRAIN_WITHIN_S = 2
CHECK_SETTINGS_EVERY_S = 1

Say = Callable[[str, str], None]
Part = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class AlreadyRunning(HoursightError):
    """The data folder already has a supervisor."""


def claim(folders: Folders) -> TextIO:
    """Return the lock of the only supervisor of a data folder. Raises AlreadyRunning."""
    lock = exclusive_lock(folders.create().data / "supervisor.lock")
    if lock is None:
        raise AlreadyRunning(
            f"{folders.data} is in use by a running hoursight: stop that one, or name another "
            "folder with --data"
        )
    return lock


class Supervisor:
    """Keeps the processes of the Procfile running until `stop` or a signal.

    `say(process, line)` gets each line that a process prints, and each start and end. `parts` are
    coroutines that run beside the processes, by name; they get the event that ends them. A part
    that raises is started again; it ends neither the supervisor nor the other parts.
    """

    def __init__(
        self,
        folders: Folders,
        environment: dict[str, str],
        say: Say,
        procfile: Path = PROCFILE,
        *,
        lock: TextIO | None = None,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        self._folders = folders.create()
        self._procfile = procfile
        self._say = say
        self._lock = lock
        self._parts = parts or {}
        self._stop = asyncio.Event()
        self._environment = _environment(folders) | environment

    async def run(self) -> None:
        """Start everything; returns after SIGINT, SIGTERM or `stop`.

        Raises ProcfileError, and AlreadyRunning when it was created without the lock of `claim`.
        """
        with self._lock or claim(self._folders):
            commands = read_procfile(self._procfile)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop)
            parts = {name: partial(self._keep_alive, name, c) for name, c in commands.items()}
            parts |= {name: partial(part, self._stop) for name, part in self._parts.items()}
            await asyncio.gather(*(self._guard(name, part) for name, part in parts.items()))

    def stop(self) -> None:
        """Stop everything."""
        self._stop.set()

    async def _guard(self, name: str, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a part to its end, again and again while it raises."""
        back_off = BackOff()
        while not self._stop.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await part()
                return
            except Exception:  # a fault in one part must not end the other processes
                pause = back_off.next_s(asyncio.get_running_loop().time() - began)
                self._report(
                    name, f"ERROR internal error of the supervisor; tries again in {pause} s"
                )
                for line in traceback.format_exc().splitlines():
                    self._report(name, line)
            await self._pause(pause)

    async def _keep_alive(self, name: str, command: str) -> None:
        back_off = BackOff()
        while not self._stop.is_set():
            began, configured = asyncio.get_running_loop().time(), _configured(self._folders)
            code = await self._run_once(name, command)
            if self._stop.is_set():
                return
            if code == os.EX_CONFIG:
                self._report(
                    name,
                    f"ended (wrong setting); starts again when {self._folders.settings} changes",
                )
                await self._until_settings_change(configured)
                continue
            pause = back_off.next_s(asyncio.get_running_loop().time() - began)
            self._report(name, f"ended ({_how_it_ended(code, False)}); starts again in {pause} s")
            await self._pause(pause)

    async def _run_once(self, name: str, command: str) -> int:
        """Run a process to its end; returns its exit code, or minus the signal that killed it."""
        output = OutputPipe(partial(self._report, name))
        try:
            process = await self._start(command, output)
            try:
                self._record(name, "started", process.pid, None)
                code = await self._end_of(process)
            finally:
                # For what it has left behind, and for itself when the supervision failed.
                _signal_group(process, signal.SIGTERM)
            self._record(name, "ended", process.pid, _how_it_ended(code, self._stop.is_set()))
            return code
        finally:
            await output.close(DRAIN_WITHIN_S)

    async def _start(self, command: str, output: OutputPipe) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *with_parent_death_signal(["/bin/sh", "-c", command], signal.SIGTERM),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.write_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
            )
        finally:
            output.started()

    async def _end_of(self, process: asyncio.subprocess.Process) -> int:
        stopper = asyncio.create_task(self._stop_process(process))
        try:
            return await process.wait()
        finally:
            stopper.cancel()

    async def _stop_process(self, process: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.sleep(STOP_WITHIN_S)
        _signal_group(process, signal.SIGKILL)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _until_settings_change(self, configured: object) -> None:
        while not self._stop.is_set() and _configured(self._folders) == configured:
            await self._pause(CHECK_SETTINGS_EVERY_S)

    def _record(self, name: str, event: str, pid: int, detail: str | None) -> None:
        now = datetime.now(UTC)
        row = {"process": name, "ts": now, "event": event, "pid": pid, "detail": detail}
        try:
            segment.write_row(self._folders, "processes", "supervisor", row)
        except (OSError, SettingsError) as error:  # a full disk must not end the supervision
            self._report(name, f"WARNING {event} could not be recorded: {error}")

    def _report(self, name: str, line: str) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone, or cannot show a character
            self._say(name, line)


class BackOff:
    """The pause before each restart: longer each time, until a process has run for STEADY_S."""

    def __init__(self) -> None:
        self._failures = 0

    def next_s(self, ran_s: float) -> int:
        """Return the pause [s] after something that ran for `ran_s` seconds."""
        self._failures = 0 if ran_s >= STEADY_S else self._failures
        pause = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return pause


def _environment(folders: Folders) -> dict[str, str]:
    own_python = str(Path(sys.executable).parent)
    return module_environment() | {
        "HOURSIGHT_DATA": str(folders.data),
        "PATH": f"{own_python}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHON": sys.executable,  # some systems have python3 only
        "PYTHONUNBUFFERED": "1",
    }


def _configured(folders: Folders) -> list[tuple[int, int, int] | None]:
    """Return what changes when the settings, the API keys or the users are edited."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in (folders.settings, folders.keys, folders.users):
        try:
            about = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((about.st_ino, about.st_size, about.st_mtime_ns))
    return stamps


def _signal_group(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a process and to the processes it has started in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how_it_ended(code: int, stopping: bool) -> str:
    if stopping:
        return "stopped with the system"
    if code == os.EX_CONFIG:
        return f"wrong setting, exit code {code}"
    if code < 0:
        return f"killed, signal {-code}"
    return f"exit code {code}"

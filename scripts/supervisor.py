"""Runs the Procfile on one host: each process alone, restarted alone, its end written down."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from honcho.environ import parse_procfile

from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.inbox import segment
from storage.platform.process import exclusive_lock

__all__ = ["PROCFILE", "AlreadyRunning", "Supervisor"]

PROCFILE = Path(__file__).parent.parent / "Procfile"

BACK_OFF_S = (1, 2, 4, 8, 16, 30)
STEADY_S = 60  # a process that ran this long starts again without having to wait longer
STOP_WITHIN_S = 10

PR_SET_PDEATHSIG = 1

Say = Callable[[str, str], None]


class AlreadyRunning(HoursightError):
    """The data folder has a supervisor already."""


class Supervisor:
    """Keeps the processes of the Procfile alive until it is told to stop.

    `say(process, line)` is handed what the processes print and what happens to them.
    """

    def __init__(
        self, folders: Folders, environment: dict[str, str], say: Say, procfile: Path = PROCFILE
    ) -> None:
        self._folders = folders.create()
        self._procfile = procfile
        self._say = say
        self._stop = asyncio.Event()
        own_python = str(Path(sys.executable).parent)
        self._environment = os.environ | {
            "HOURSIGHT_DATA": str(folders.data),
            "PATH": f"{own_python}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            **environment,
        }

    async def run(self) -> None:
        """Start everything; returns after SIGINT, SIGTERM or `stop`. Raises AlreadyRunning."""
        lock = _locked(self._folders)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        commands = parse_procfile(self._procfile.read_text()).processes
        await asyncio.gather(*(self._keep_alive(name, line) for name, line in commands.items()))
        lock.close()

    def stop(self) -> None:
        """Stop everything."""
        self._stop.set()

    async def _keep_alive(self, name: str, command: str) -> None:
        failures = 0
        while not self._stop.is_set():
            began = asyncio.get_running_loop().time()
            detail = await self._run_once(name, command)
            if self._stop.is_set():
                return
            steady = asyncio.get_running_loop().time() - began >= STEADY_S
            failures = 0 if steady else failures
            pause = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            self._say(name, f"ended ({detail}); starts again in {pause} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _run_once(self, name: str, command: str) -> str:
        """Run a process to its end; says how it ended."""
        process = await asyncio.create_subprocess_shell(
            command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
            preexec_fn=_die_with_parent,
        )
        self._record(name, "started", process.pid, None)
        stopper = asyncio.create_task(self._stop_process(process))
        await self._pass_on(name, process)
        detail = _how_it_ended(await process.wait(), self._stop.is_set())
        stopper.cancel()
        self._record(name, "ended", process.pid, detail)
        return detail

    async def _stop_process(self, process: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        with suppress(ProcessLookupError):
            process.terminate()
            await asyncio.sleep(STOP_WITHIN_S)
            process.kill()

    async def _pass_on(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._say(name, line.decode(errors="replace").rstrip())

    def _record(self, name: str, event: str, pid: int, detail: str | None) -> None:
        now = datetime.now(UTC)
        row = {"process": name, "ts": now, "event": event, "pid": pid, "detail": detail}
        try:
            segment.write_row(self._folders, "processes", "supervisor", row)
        except OSError as error:  # a full disk must not end the supervision
            self._say(name, f"WARNING its {event} could not be written down: {error}")


def _locked(folders: Folders) -> TextIO:
    lock = exclusive_lock(folders.data / "supervisor.lock")
    if lock is None:
        raise AlreadyRunning(
            f"{folders.data} is in use by a running hoursight: stop that one, or name another "
            "folder with --data"
        )
    return lock


def _die_with_parent() -> None:
    """Runs in the child: when the supervisor is killed, its processes must not live on."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _how_it_ended(code: int, stopping: bool) -> str:
    if stopping:
        return "stopped with the system"
    if code < 0:
        return f"killed, signal {-code}"
    return f"exit code {code}"

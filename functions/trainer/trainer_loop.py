"""Trainer loop: wait for a training that is due, and train in a child at low priority."""

import asyncio
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from storage.config.folders import Folders
from storage.ipc.rpc import NotRunning, call_rpc
from storage.platform.heartbeat import Heartbeat
from storage.platform.process import with_parent_death_signal
from storage.platform.threads import SupervisedThread

__all__ = [
    "REMEDY", "TRAIN_EXTRA", "DueTraining", "Trainer", "due_training", "is_warm_start",
    "keep_training", "missing_extra", "training_command",
]  # fmt: skip

log = logging.getLogger(__name__)

TRAIN_EXTRA = ("torch", "lightning", "pytorch_forecasting", "onnx")
REMEDY = (
    "pip install 'hoursight[train]' brings it (in a checkout: uv pip install "
    "--torch-backend=cpu '.[train]'); the running system works without"
)
CHECK_EVERY_S = 1.0
# Without a change of the table it is asked again, for one that a lost notice has announced.
ASK_EVERY_S = 600.0
ANSWER_WITHIN_S = 30.0
STOP_WITHIN_S = 8.0
OOM_SCORE = "800"  # of 1000: memory is taken from a training first


class DueTraining(NamedTuple):
    """A training for this process: its id, and its newest event."""

    training: str
    event: str


Command = Callable[[str], list[str]]
Due = Callable[[], DueTraining | None]


def keep_training(folders: Folders, stop: threading.Event) -> None:
    """Train whenever it is due, one model at a time, until `stop` is set.

    A training that a stop cuts off is continued at the next start.
    """
    Trainer(folders, partial(due_training, folders), partial(training_command, folders)).run(stop)


def due_training(folders: Folders) -> DueTraining | None:
    """Ask the engine for the training that is due or was cut off.

    Raises NotRunning, also while the lake cannot be read.
    """
    question = json.dumps({"query": "due_training", "parameters": {}}).encode()
    call = asyncio.wait_for(call_rpc(folders.history, question), ANSWER_WITHIN_S)
    status, body = asyncio.run(call)
    if status != 200:
        raise NotRunning(f"the engine answered {status}")
    rows = msgspec.msgpack.decode(body, type=list[dict[str, str]])
    return DueTraining(rows[0]["training"], rows[0]["event"]) if rows else None


def missing_extra() -> str | None:
    """Return the first package of the train extra that is not installed; None if all are."""
    return next((name for name in TRAIN_EXTRA if importlib.util.find_spec(name) is None), None)


class Trainer:
    """Runs `command` of each training that `due` returns, once each; a fault is recorded."""

    def __init__(self, folders: Folders, due: Due, command: Command) -> None:
        self._folders = folders
        self._due = due
        self._command = command
        self._beat = Heartbeat(folders.heartbeats, "trainer").beat
        self._done: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Wait and train until `stop` is set."""
        if missing := missing_extra():
            log.info("%s is not installed, so no model is trained here: %s", missing, REMEDY)
        seen, waited_s = -1, ASK_EVERY_S
        while not stop.is_set():
            self._beat()
            changed = self._changed_at()
            if changed != seen or waited_s >= ASK_EVERY_S:
                try:
                    self._train_if_due(stop)
                    seen, waited_s = changed, 0.0
                except (NotRunning, TimeoutError):
                    log.debug("the engine does not answer yet")
            waited_s += CHECK_EVERY_S
            stop.wait(CHECK_EVERY_S)

    def _changed_at(self) -> int:
        """Return the time of the last commit to `trainings` [ns]; 0 before the first."""
        try:
            return (self._folders.announce / "trainings").stat().st_mtime_ns
        except OSError:
            return 0

    def _train_if_due(self, stop: threading.Event) -> None:
        due = self._due()
        if due is None or due.training in self._done:
            return
        if not is_warm_start(due.training) and (missing := missing_extra()):
            self._done.add(due.training)
            if due.event != "unable":
                reason = f"{missing} is not installed on this host: {REMEDY}"
                log.warning("a training is due, and %s", reason)
                self._record(due.training, "unable", reason)
            return
        self._done.add(due.training)
        log.info("training %s starts in a process of its own", due.training)
        code = self._run_child(due.training, stop)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            reason = f"the process of the training was ended by {name}"
            if -code == signal.SIGKILL:
                reason += ": the system ran out of memory, or somebody killed it"
            log.error("training %s failed: %s", due.training, reason)
            self._record(due.training, "failed", reason)

    def _run_child(self, training: str, stop: threading.Event) -> int | None:
        """Run the training to its end; return its exit code, None if a stop cut it off."""
        process = subprocess.Popen(
            with_parent_death_signal(self._command(training), signal.SIGTERM),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        _lower_priority(process.pid)
        output = SupervisedThread("training output", partial(_log_lines, process), stop, once=True)
        output.start()
        try:
            while process.poll() is None:
                self._beat()
                if stop.is_set():
                    _end(process)
                    return None
                stop.wait(CHECK_EVERY_S)
        finally:
            output.join(STOP_WITHIN_S)
        return process.returncode

    def _record(self, training: str, event: str, reason: str) -> None:
        """Write a row of `trainings` in a process that ends: it needs Arrow, this one does not."""
        module = [sys.executable, "-P", "-m", "functions.trainer.training_event"]
        arguments = [str(self._folders.data), training, event, reason]
        subprocess.run([*module, *arguments], check=False, stdin=subprocess.DEVNULL)


def is_warm_start(training: str) -> bool:
    """Return True if an id is that of a warm start, which needs no train extra."""
    return training.endswith("-history")


def training_command(folders: Folders, training: str) -> list[str]:
    """Return the command line of the child that trains, or learns from the history."""
    hoursight = [sys.executable, "-P", "-u", "-m", "hoursight"]
    options = ["--data", str(folders.data), "--training", training]
    if is_warm_start(training):
        return [*hoursight, "warmstart", *options]
    return [*hoursight, "train", *options, "--threads", "1"]


def _lower_priority(pid: int) -> None:
    """Let everything else go first: CPU, disk, and memory when it runs out."""
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        process.nice(19)
        process.ionice(psutil.IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(OOM_SCORE)


def _log_lines(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            log.info("%s", line.rstrip())


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

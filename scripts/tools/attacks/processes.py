"""Attacks on the processes: what becomes of the system when one is killed or stopped."""

import os
import signal
import time
from contextlib import suppress

from scripts.tools.attacks.attack import Answer, Attack, Instance

__all__ = ["ATTACKS"]

PATIENCE_S = 60.0


def _kill(module: str, instance: Instance) -> Answer:
    """Kill the process of a module, and wait until there is another one."""
    before = instance.process(module).pid
    os.kill(before, signal.SIGKILL)
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with suppress(ProcessLookupError):
            if instance.process(module).pid != before:
                return Answer("it was started again", held=True)
        time.sleep(0.2)
    return Answer("it was not started again", held=False)


def _kill_writer(instance: Instance) -> Answer:
    return _kill("storage", instance)


ATTACKS = (Attack("kill -9 of the writer", "signal", _kill_writer),)

"""Attacks by words: names and values that a terminal or a spreadsheet would obey."""

import json
import subprocess
import sys
import time

from scripts.python_process import module_environment
from scripts.tools.attacks.attack import Answer, Attack, Instance

__all__ = ["ATTACKS"]

HOSTILE = "web\x1b[2J\x1b]0;owned\x07\x9b1A\u202e\nok  writer"
FORMULA = "=HYPERLINK(A1)"
WITHIN_S = 30.0


def _obeyed(text: str) -> set[str]:
    """The characters of an output that do not print."""
    return {c for line in text.split("\n") for c in line if not c.isprintable()}


def _push(instance: Instance, server: str, value: object = 50) -> tuple[int, str]:
    records = [{"server": server, "timestamp": time.time(), "mem_used_pct": value}]
    headers = {"X-API-Key": instance.keys["feed"], "Content-Type": "application/json"}
    return instance.request("POST", "/feed", json.dumps(records).encode(), headers)


def _read(instance: Instance, path: str) -> str:
    return instance.request("GET", path, headers={"X-API-Key": instance.keys["read"]})[1]


def _refused_words(instance: Instance) -> Answer:
    """A refused name and a refused value, in the answer, on the site and in a command."""
    answers = [_push(instance, HOSTILE)[1], _push(instance, "web-1", HOSTILE)[1]]
    give_up = time.monotonic() + WITHIN_S
    while "owned" not in (told := _read(instance, "/sources.json")) and time.monotonic() < give_up:
        time.sleep(0.5)
    command = [sys.executable, "-m", "hoursight", "sources", "--data", str(instance.folders.data)]
    printed = subprocess.run(
        command, env=module_environment(), capture_output=True, text=True, check=False
    ).stdout
    obeyed = _obeyed("".join([*answers, told, printed, _read(instance, "/metrics")]))
    return Answer(f"{len(obeyed)} control characters came through", not obeyed)


def _formula(instance: Instance) -> Answer:
    """A server whose name a spreadsheet would calculate."""
    status, _ = _push(instance, FORMULA)
    give_up = time.monotonic() + WITHIN_S
    while FORMULA not in (exported := _read(instance, "/fleet.csv")):
        if time.monotonic() > give_up:
            return Answer(
                f"the push was answered {status}, and the server is not in the CSV", False
            )
        time.sleep(0.5)
    guarded = f'"\'{FORMULA}"' in exported
    return Answer("the name is text in the CSV" if guarded else "the CSV has a formula", guarded)


ATTACKS = (
    Attack("control characters in a refused name and value", "JSON feed", _refused_words),
    Attack("a formula as the name of a server", "JSON feed", _formula),
)

"""Attacks of whoever may write to a watched folder, or to a file that is loaded."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from scripts.tools.attacks.attack import Answer, Attack, Instance

__all__ = ["ATTACKS"]

WATCHED, LOADED = "watched folder", "functions folder"
WITHIN_S, QUIET_S = 30.0, 8.0
SHADOW = "root:$6$of-nobody-else"
CODE = """
from pathlib import Path

from hoursight import every, function

Path({marker!r}).touch()


@function(on=every("1h"), writes="server_facts")
def intruder(now):
    return None
"""


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if holds():
            return True
        time.sleep(0.2)
    return holds()


def _page(instance: Instance) -> str:
    headers = {"X-API-Key": instance.keys["read"]}
    return instance.request("GET", "/sources", headers=headers)[1]


def _says(instance: Instance, text: str) -> bool:
    return _within(WITHIN_S, lambda: text in _page(instance))


def _linked_rejected(instance: Instance) -> Answer:
    """`rejected` becomes a link to the functions: what is rejected would be loaded."""
    functions, rejected = instance.folders.functions, instance.watched / "rejected"
    functions.mkdir(exist_ok=True)
    _within(WITHIN_S, rejected.is_dir)
    rejected.rename(instance.watched / "away")
    rejected.symlink_to(functions)
    marker = instance.folders.data / "intruder.marker"
    (instance.watched / "intruder.py").write_text(CODE.format(marker=str(marker)))
    said = _says(instance, "is a symbolic link, which is not followed")
    ran = _within(QUIET_S, marker.exists)
    installed = (functions / "intruder.py").exists()
    rejected.unlink()
    (instance.watched / "away").rename(rejected)
    (instance.watched / "intruder.py").unlink(missing_ok=True)
    text = f"{'a function runs as our user' if ran else 'nothing runs'}; the page names the link"
    return Answer(text if said else text.replace("names", "does not name"), not ran and
                  not installed and said)  # fmt: skip


def _linked_secret(instance: Instance) -> Answer:
    """A link to a file that only our user may read: its first line would be a reason."""
    secret = instance.folders.data / "secret"
    secret.write_text(SHADOW + "\n")
    secret.chmod(0o600)
    link = instance.watched / "shadow.csv"
    link.symlink_to(secret)
    said = _says(instance, "shadow.csv is a symbolic link")
    reasons = (path.read_text() for path in instance.watched.rglob("*.reason.txt"))
    shown = SHADOW in _page(instance) or any(SHADOW in text for text in reasons)
    for path in (link, *instance.watched.rglob("shadow*")):
        path.unlink(missing_ok=True)
    if shown:
        return Answer("the content of the file is shown", held=False)
    return Answer(f"not read; the page {'names' if said else 'does not name'} the link", held=said)


def _pipe(instance: Instance) -> Answer:
    """A pipe that nobody writes to: who opens it waits for ever."""
    pipe, csv = instance.watched / "a.csv", instance.watched / "after-pipe.csv"
    os.mkfifo(pipe)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    csv.write_text(f"timestamp,server,mem_used_pct\n{now},after-pipe,5\n")
    headers = {"X-API-Key": instance.keys["read"]}
    read = _within(
        WITHIN_S, lambda: instance.request("GET", "/servers/after-pipe", headers=headers)[0] == 200
    )
    pipe.unlink()
    return Answer("the file beside it is read" if read else "nothing is read any more", held=read)


def _reason_through_a_link(instance: Instance) -> Answer:
    """A link waits where the reason will be written: it would be written to another place."""
    rejected, target = instance.watched / "rejected", instance.folders.data / "written.txt"
    _within(WITHIN_S, rejected.is_dir)
    (rejected / "b.xlsx.reason.txt").symlink_to(target)
    (instance.watched / "b.xlsx").write_bytes(b"PK")
    _within(WITHIN_S, lambda: not (instance.watched / "b.xlsx").exists())
    written = target.exists()
    text = "the reason is written through it" if written else "the reason has another name"
    return Answer(text, held=not written)


def _code_of_others(instance: Instance) -> Answer:
    """A function that every user of the machine may change."""
    functions = instance.folders.functions
    functions.mkdir(exist_ok=True)
    marker = instance.folders.data / "others.marker"
    path: Path = functions / "others.py"
    draft = functions / ".others"
    draft.write_text(CODE.format(marker=str(marker)).replace("intruder", "others"))
    draft.chmod(0o666)
    draft.rename(path)
    ran = _within(QUIET_S, marker.exists)
    path.unlink()
    return Answer("it runs as our user" if ran else "it is not loaded", held=not ran)


ATTACKS = (
    Attack("rejected/ is a link to functions/", WATCHED, _linked_rejected),
    Attack("a link to a file of ours", WATCHED, _linked_secret),
    Attack("a pipe beside a file", WATCHED, _pipe),
    Attack("a link where a reason is written", WATCHED, _reason_through_a_link),
    Attack("a function that others can write", LOADED, _code_of_others),
)

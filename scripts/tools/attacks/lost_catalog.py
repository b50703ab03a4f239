"""Attacks on the catalog: it is removed while everything runs, and made again."""

import time
from contextlib import closing, suppress
from pathlib import Path

from scripts.tools.attacks.attack import Answer, Attack, Instance
from storage.errors import HoursightError, LakeUnreadable
from storage.lake.catalog_loss import CatalogLost
from storage.lake.rebuild import rebuild
from storage.lake.writer import WriterRunning
from storage.query.reader import Reader

__all__ = ["ATTACKS"]

PATIENCE_S = 60.0
POLL_S = 0.2


def _remove(instance: Instance) -> Answer:
    """Remove the catalog, wait for the writer's next start, and rebuild beside the system."""
    before, writer = _samples(instance.folders.data), instance.process("storage").pid
    for path in instance.folders.data.glob("catalog.sqlite*"):
        path.unlink()
    give_up = time.monotonic() + PATIENCE_S
    while _same_writer(instance, writer) and time.monotonic() < give_up:
        time.sleep(POLL_S)
    try:
        Reader.open(instance.folders.data).close()
    except CatalogLost:
        return _rebuilt(instance, before, give_up + PATIENCE_S)
    except LakeUnreadable as error:
        return Answer(f"the loss was not recognized: {error}", held=False)
    return Answer("a new lake took its place", held=False)


def _same_writer(instance: Instance, pid: int) -> bool:
    with suppress(ProcessLookupError):
        return bool(instance.process("storage").pid == pid)
    return False


def _rebuilt(instance: Instance, before: int, give_up: float) -> Answer:
    while True:
        try:
            rebuild(instance.folders.data)
        except WriterRunning as error:  # for the moment in which the writer finds out
            if time.monotonic() > give_up:
                return Answer(str(error), held=False)
            time.sleep(POLL_S)
        except HoursightError as error:
            return Answer(f"not rebuilt: {error}", held=False)
        else:
            after = _samples(instance.folders.data)
            return Answer(f"refused; {before:,} samples before, {after:,} after", after >= before)


def _samples(data: Path) -> int:
    with closing(Reader.open(data)) as reader:
        return int(reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py())


ATTACKS = (Attack("rm catalog.sqlite*", "data folder", _remove),)

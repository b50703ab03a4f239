"""Another user of the machine reads and locks the data folder; a sender leaves its password."""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

from scripts.tools.attacks.attack import Answer, Attack, Instance
from storage.config.folder_access import paths_open_to_others
from storage.config.folders import Folders
from storage.config.settings import read_settings

__all__ = ["ATTACKS"]

ANOTHER_USER = 65534
LINE = b"cpu,host=attacked usage_user=1"


def read_and_lock(instance: Instance) -> Answer:
    """Open and lock what is in the data folder, as another user where this one is root."""
    folders = instance.folders
    if os.geteuid() != 0:
        paths = list(paths_open_to_others(folders, read_settings(folders.data)))
        return Answer(f"{len(paths)} paths grant others access", held=not paths)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.chdir(folders.data)  # its parents may be closed too, which is not what is tried here
        os.setgroups([])
        os.setresgid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
        os.setresuid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
        os.write(write, str(_reached(folders)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as result:
        count = int(result.read())
    return Answer(f"{count} paths could be read or locked", held=count == 0)


def _reached(folders: Folders) -> int:
    """How many of the paths in the working directory can be opened and locked."""
    count, files = 0, (folders.catalog, folders.keys, folders.merge_gate)
    for path in (Path(), *(Path(file.name) for file in files)):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            count += 1
    return count


def leave_a_password(instance: Instance) -> Answer:
    """Push as a writer of InfluxDB v1 does, and look for its password in every file."""
    password = secrets.token_hex(16)
    headers = {"X-API-Key": instance.keys["feed"]}
    status, _ = instance.request("POST", f"/write?u=me&p={password}&db=x", LINE, headers)
    files = [instance.folders.data.parent / "up.log", *instance.folders.data.rglob("*")]
    kept = [path.name for path in files if _has(path, password)]
    return Answer(f"status {status}, the password is in {len(kept)} files", held=not kept)


def _has(path: Path, text: str) -> bool:
    with suppress(OSError):  # a folder, a socket, or a file that is gone
        return text.encode() in path.read_bytes()
    return False


ATTACKS = (
    Attack("read and lock the data folder as another user", "files", read_and_lock),
    Attack("leave a password in the URL of a v1 writer", "line protocol", leave_a_password),
)

import fcntl
import os
from pathlib import Path

from storage.platform.lock_holders import LockHolder, lock_holders


def test_a_process_that_holds_a_lock_is_known_until_it_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as lock:
        assert list(lock_holders(path)) == []
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert list(lock_holders(path)) == [LockHolder(os.getpid(), os.geteuid())]
    assert list(lock_holders(path)) == []


def test_a_missing_file_has_no_holders(tmp_path: Path) -> None:
    assert list(lock_holders(tmp_path / "missing")) == []

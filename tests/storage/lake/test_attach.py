import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.attach import merge_lock, reader_lock


def test_overlapping_readers_let_a_merge_in(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    done, entered = threading.Event(), [threading.Event(), threading.Event()]

    def read_on(mine: threading.Event, other: threading.Event) -> None:
        """Go only when the other has come: somebody is always reading."""
        while not done.is_set():
            with reader_lock(folders):
                mine.set()
                other.wait(0.05)
                other.clear()

    with ThreadPoolExecutor() as threads:
        for pair in (entered, entered[::-1]):
            threads.submit(read_on, *pair)
        try:
            with merge_lock(folders, patience_s=0.5):
                pass
        finally:
            done.set()

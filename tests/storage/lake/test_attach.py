import fcntl
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.lake import attach
from storage.lake.attach import attach_writer, merge_lock, reader_lock
from storage.query.reader import Reader
from tests.conftest import LakeFixture


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


def test_the_writer_keeps_no_blocks_of_files_in_memory(tmp_path: Path) -> None:
    with closing(attach_writer(Folders.at(tmp_path).create())) as connection:
        sql = "SELECT current_setting('enable_external_file_cache')"
        assert connection.execute(sql).fetchall() == [(False,)]


def test_a_reader_has_the_memory_of_the_settings_and_spills_into_the_data_folder(
    house: LakeFixture,
) -> None:
    house.folders.settings.write_text('[lake]\nreader_memory = "128MB"\n')
    names = ("memory_limit", "temp_directory", "max_temp_directory_size")
    with closing(Reader.open(house.folders.data)) as reader:
        settings = ", ".join(f"current_setting('{name}') AS {name}" for name in names)
        found = reader.query(f"SELECT {settings}").to_pylist()[0]
    assert (found["memory_limit"], found["max_temp_directory_size"]) == ("122.0 MiB", "7.4 GiB")
    assert found["temp_directory"].startswith(f"{house.folders.data}/spill-")


def test_a_reader_of_a_folder_that_it_cannot_write_spills_where_no_other_user_looks(
    house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "is_writable", lambda _: False)
    connection = attach.attach_reader(house.folders)
    row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row is not None
    private = Path(row[0]).parent
    assert private.stat().st_mode & 0o777 == 0o700
    connection.close()
    del connection
    gc.collect()
    assert not private.exists()


def test_a_shared_lock_on_the_gate_that_is_never_released_does_not_stop_the_writer(
    tmp_path: Path,
) -> None:
    folders = Folders.at(tmp_path).create()
    with folders.merge_gate.open("w") as gate, folders.merge_lock.open("w") as lock:
        for file in (gate, lock):
            fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(attach.ReadersBusy), merge_lock(folders, patience_s=0.01):
            pass

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from storage.config.folders import Folders
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

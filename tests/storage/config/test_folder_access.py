from pathlib import Path

import pytest

from storage.config.folder_access import close_to_others, folder_mode, paths_open_to_others
from storage.config.folders import Folders
from storage.config.settings import DataSettings, Settings
from storage.platform.private_files import mode_of

SHARING = Settings(data=DataSettings(group_readable=True))


@pytest.fixture
def open_folder(tmp_path: Path) -> Folders:
    """A data folder that everybody reads and writes."""
    folders = Folders.at(tmp_path / "data").create()
    for name in ("catalog.sqlite", "keys.json", "merge.lock", "lake/rows.parquet", "inbox/rows"):
        (folders.data / name).touch()
    for path in (folders.data, *folders.data.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folders


@pytest.mark.parametrize(
    ("settings", "catalog", "keys", "rows", "segment"),
    [(Settings(), 0o600, 0o600, 0o600, 0o600), (SHARING, 0o640, 0o600, 0o640, 0o600)],
)
def test_a_folder_is_closed_to_all_but_those_of_the_settings(
    open_folder: Folders, settings: Settings, catalog: int, keys: int, rows: int, segment: int
) -> None:
    assert open_folder.data in set(paths_open_to_others(open_folder, settings))
    assert close_to_others(open_folder, settings) == []
    assert list(paths_open_to_others(open_folder, settings)) == []
    data = open_folder.data
    assert mode_of(data) == mode_of(open_folder.lake) == folder_mode(settings)
    assert mode_of(open_folder.inbox) == 0o700
    files = (data / "catalog.sqlite", data / "keys.json")
    assert [mode_of(file) for file in files] == [catalog, keys]
    files = (data / "lake" / "rows.parquet", data / "inbox" / "rows")
    assert [mode_of(file) for file in files] == [rows, segment]


def test_keys_that_a_group_could_read_are_open_also_where_it_reads_the_lake(
    open_folder: Folders,
) -> None:
    close_to_others(open_folder, SHARING)
    open_folder.keys.chmod(0o640)
    assert list(paths_open_to_others(open_folder, SHARING)) == [open_folder.keys]


def test_a_data_folder_behind_a_link_is_closed_too(open_folder: Folders, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(open_folder.data)
    linked = Folders.at(tmp_path / "link")
    assert next(paths_open_to_others(linked, Settings())) == open_folder.data
    assert close_to_others(linked, Settings()) == []
    assert mode_of(open_folder.data) == 0o700

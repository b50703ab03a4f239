"""The record of how API keys were used and what was refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.config.key_usage import KeyUsage, Tally, add_key_usage, read_key_usage
from tests.conftest import NOW

LATER = NOW + timedelta(minutes=1)


def test_tallies_add_up_and_keep_the_last_time_and_address(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    add_key_usage(folders, KeyUsage({"a": Tally(2, LATER, "10.0.0.5")}, {}))
    add_key_usage(
        folders, KeyUsage({"a": Tally(1, NOW, "10.0.0.6")}, {"scope": Tally(1, NOW, "x")})
    )
    usage = read_key_usage(folders)
    assert usage.used == {"a": Tally(3, LATER, "10.0.0.5")}
    assert usage.refused == {"scope": Tally(1, NOW, "x")}
    assert folders.key_usage.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key_usage.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"used": 7}'])
def test_a_missing_or_damaged_record_begins_anew(tmp_path: Path, content: bytes | None) -> None:
    folders = Folders.at(tmp_path)
    if content is not None:
        folders.key_usage.write_bytes(content)
    assert read_key_usage(folders) == KeyUsage()
    add_key_usage(folders, KeyUsage({"a": Tally(1, NOW, "x")}, {}))
    assert read_key_usage(folders).used["a"].requests == 1


def test_a_folder_that_is_missing_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        add_key_usage(Folders.at(tmp_path / "nowhere"), KeyUsage())
    assert not list(tmp_path.iterdir())

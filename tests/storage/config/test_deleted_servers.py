"""Deleted servers by pseudonym: accepted or refused when they send again."""

from pathlib import Path

import pytest

from storage.config.deleted_servers import DeletedServers, record_deleted
from storage.config.folders import Folders
from storage.config.sample_settings import DeletionSettings
from storage.model.names import erased_name
from tests.conftest import NOW

REFUSE = DeletionSettings("refuse", ["db-1"])


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.at(tmp_path)
    record_deleted(folders, {erased_name(name): NOW for name in ("web-1", "db-1")})
    return folders


@pytest.mark.parametrize(
    ("settings", "server", "refused"),
    [
        (DeletionSettings(), "web-1", False),
        (REFUSE, "web-1", True),
        (REFUSE, "web-10", False),
        (REFUSE, "db-1", False),
    ],
)
def test_a_deleted_server_is_refused_where_the_settings_say_so(
    folders: Folders, settings: DeletionSettings, server: str, refused: bool
) -> None:
    assert DeletedServers(folders, settings).refuses(server) is refused


def test_the_file_has_no_name_and_is_read_again_when_it_changes(folders: Folders) -> None:
    deleted = DeletedServers(folders, REFUSE)
    assert deleted.deleted_at("web-1") == NOW
    assert deleted.deleted_at("web-2") is None
    assert "web-1" not in folders.deleted.read_text()
    record_deleted(folders, {erased_name("web-2"): NOW})
    assert (deleted.refuses("web-1"), deleted.refuses("web-2")) == (False, True)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"a": 1}'])
def test_without_a_file_or_with_a_damaged_one_nobody_was_deleted(
    folders: Folders, content: bytes | None
) -> None:
    folders.deleted.unlink()
    if content is not None:
        folders.deleted.write_bytes(content)
    assert not DeletedServers(folders, REFUSE).refuses("web-1")


def test_no_file_is_written_for_no_deletion(tmp_path: Path) -> None:
    record_deleted(Folders.at(tmp_path), {})
    assert not Folders.at(tmp_path).deleted.exists()

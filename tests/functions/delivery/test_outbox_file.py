import stat
from contextlib import suppress
from pathlib import Path

import pytest

from functions.delivery.outbox_file import OutboxFile, OutboxUnusable


def test_it_is_created_for_this_user_alone_and_commits_to_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with OutboxFile(path) as file:
        assert file.one("PRAGMA synchronous") == 2  # FULL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_fails_in_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    with OutboxFile(tmp_path / "outbox.sqlite") as file:
        with suppress(KeyError), file.transaction():
            file.execute("INSERT INTO events VALUES ('e', 't', 'opened')")
            raise KeyError
        assert file.one("SELECT count(*) FROM events") == 0


def test_a_file_that_is_not_an_outbox_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"no database at all, " * 200)
    with pytest.raises(OutboxUnusable, match=r"outbox.sqlite is damaged .*: move it away"):
        OutboxFile(path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutboxUnusable, match=r"cannot be used"):
        OutboxFile(tmp_path / "none" / "outbox.sqlite")

"""Files of entries: read again when changed, written as a whole, required once seen."""

import msgspec
import pytest

from storage.config import entries_file
from storage.config.entries_file import EntriesFile, Wording, replace_file
from storage.errors import HoursightError
from storage.platform.process import exclusive_lock


class Entry(msgspec.Struct, frozen=True):
    name: str


class Broken(HoursightError):
    pass


WORDING = Wording(Broken, "entries", "make some")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "entries.json"


def test_what_another_process_writes_is_seen(path) -> None:
    mine, theirs = (EntriesFile(path, Entry, WORDING) for _ in range(2))
    assert (mine.entries(), mine.seen()) == ([], False)
    with theirs.changing() as entries:
        entries.append(Entry("a"))
    assert (mine.entries(), mine.seen()) == ([Entry("a")], True)


def test_a_change_that_fails_leaves_the_file_as_it_was(path) -> None:
    file = EntriesFile(path, Entry, WORDING)
    with file.changing() as entries:
        entries.append(Entry("a"))
    with pytest.raises(IndexError), file.changing() as entries:
        del entries[0], entries[0]
    assert file.entries() == [Entry("a")]


def test_the_loss_of_a_file_that_was_seen_is_an_error(path) -> None:
    file = EntriesFile(path, Entry, WORDING)
    path.write_text("[]")
    assert file.seen()
    path.unlink()
    with pytest.raises(Broken, match=r"entries\.json is gone"):
        file.entries()
    assert EntriesFile(path, Entry, WORDING).seen() is False


def test_a_lock_of_another_process_is_named(path, monkeypatch) -> None:
    monkeypatch.setattr(entries_file, "LOCK_WITHIN_S", 0.01)
    change = EntriesFile(path, Entry, WORDING).changing()
    with exclusive_lock(path.with_suffix(".lock")), pytest.raises(Broken, match="is locked by"):
        change.__enter__()


def test_a_file_is_replaced_for_this_user_alone_and_leaves_nothing_beside_it(path) -> None:
    path.write_text("old")
    path.chmod(0o644)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]

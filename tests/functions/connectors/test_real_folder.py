"""Watched folder against whoever may write to it: links, pipes, second names, exchanges."""

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from functions.connectors.connector import Page, ReadOptions, Unreachable
from functions.connectors.files import FolderConnection, connect
from functions.connectors.real_folder import RealFolder
from functions.engine.user_files import FUNCTIONS
from functions.normalize.mapping import Time
from storage.config.folders import Folders
from storage.platform.trusted_files import NotTrusted
from tests.conftest import NOW

OTHER, THIRD = 65534, 1
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
SHADOW = "root:$6$of-nobody-else"
LATER = timedelta(hours=13)


class Theirs:
    """A folder `drop` that another user has, beside a data folder of ours with a secret file."""

    def __init__(self, place: Path) -> None:
        self.path = place / "drop"
        self.path.mkdir()
        self.path.chmod(0o755)
        self.folders = Folders.at(place / "data").create()
        self.folders.functions.mkdir()
        self.secret = self.folders.data / "secret"
        self.secret.write_text(SHADOW)
        self.secret.chmod(0o600)

    def given_away(self) -> None:
        os.chown(self.path, OTHER, OTHER)

    def put(self, name: str, text: str = "no time\n1\n") -> Path:
        path = self.path / name
        path.write_text(text)
        os.utime(path, (NOW.timestamp() - 600,) * 2)
        return path

    def pages(self, polls: int = 1) -> list[Page]:
        options = ReadOptions("shop", self.folders, Time("timestamp"), ())
        connector = connect(FolderConnection(str(self.path)), options)
        position, pages = None, []
        for _ in range(polls):
            for page in connector.pages(position, NOW):
                pages.append(page)
                position = page.position
        return pages

    def notes(self, polls: int = 1) -> str:
        pages = self.pages(polls)
        everything = [p.read_text() for p in self.path.rglob("*.reason.txt") if not p.is_symlink()]
        assert SHADOW not in "".join([str(pages), *everything])
        return "\n".join(note for page in pages for note in page.notes)


@pytest.fixture
def theirs(tmp_path: Path) -> Theirs:
    return Theirs(tmp_path)


@pytest.mark.parametrize("part", ["done", "rejected"])
def test_a_part_that_is_a_link_installs_no_function_and_stops_the_source_in_words(
    theirs: Theirs, part: str
) -> None:
    theirs.put("evil.py", "import os\n")
    (theirs.path / part).symlink_to(theirs.folders.functions)
    with pytest.raises(Unreachable, match=f"'{part}' in the folder .* link, which is not followed"):
        theirs.pages(2)
    assert os.listdir(theirs.folders.functions) == []
    assert FUNCTIONS.sources(theirs.folders) == {}


def test_a_part_that_becomes_a_link_between_two_polls_installs_no_function(theirs: Theirs) -> None:
    theirs.put("evil.py", "import os\n")
    options = ReadOptions("shop", theirs.folders, Time("timestamp"), ())
    connector = connect(FolderConnection(str(theirs.path)), options)
    (page,) = connector.pages(None, NOW)
    (theirs.path / "rejected").rename(theirs.path / "away")
    (theirs.path / "rejected").symlink_to(theirs.folders.functions)
    with pytest.raises(Unreachable, match="'rejected' in the folder"):
        list(connector.pages(page.position, NOW))
    assert os.listdir(theirs.folders.functions) == []


@AS_ROOT
def test_a_part_of_a_third_user_is_refused(theirs: Theirs) -> None:
    theirs.given_away()
    (theirs.path / "done").mkdir()
    os.chown(theirs.path / "done", THIRD, THIRD)
    with pytest.raises(Unreachable, match=r"'done' in the folder .* belongs to .*, who is neither"):
        theirs.pages()


@AS_ROOT
def test_a_folder_that_its_owner_makes_a_link_is_refused(theirs: Theirs) -> None:
    theirs.given_away()
    (theirs.path / "in").symlink_to(theirs.folders.functions)
    os.lchown(theirs.path / "in", OTHER, OTHER)
    theirs.path = theirs.path / "in"
    with pytest.raises(Unreachable, match=r"'in' in .*a symbolic link that other users can change"):
        theirs.pages()
    assert os.listdir(theirs.folders.functions) == []


def test_a_linked_file_is_named_and_counted_and_never_read(theirs: Theirs) -> None:
    (theirs.path / "shadow.csv").symlink_to(theirs.secret)
    (page,) = theirs.pages()
    assert page.refused == 1
    assert page.notes == (
        "shadow.csv is a symbolic link, which is not followed: put the file itself there",
    )
    assert theirs.notes(3)
    assert (theirs.path / "shadow.csv").is_symlink()


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (os.mkfifo, "a.csv is a pipe"),
        (bind, "a.csv is a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a.csv is a symbolic link"),
    ],
)
def test_what_is_not_a_file_does_not_stop_the_others(
    theirs: Theirs, make: Callable[[Path], object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(theirs.path)  # the path of a socket is short
    make(Path("a.csv"))
    theirs.put("b.csv", "timestamp,server\n2026-05-06T11:00:00Z,a\n")
    pages = theirs.pages()
    assert says in pages[0].notes[0]
    assert [len(page.documents) for page in pages if page.documents] == [1]


@AS_ROOT
@pytest.mark.parametrize("original", ["there", "gone"])
def test_a_file_of_ours_in_a_folder_of_others_is_not_read(theirs: Theirs, original: str) -> None:
    os.link(theirs.secret, theirs.path / "a.csv")
    if original == "gone":
        theirs.secret.unlink()
    theirs.given_away()
    says = "has a second name elsewhere" if original == "there" else "belongs to root and may not"
    assert says in theirs.notes(3)


def test_a_reason_is_not_written_through_a_link_that_lies_there(theirs: Theirs) -> None:
    (theirs.path / "rejected").mkdir()
    (theirs.path / "rejected" / "a.csv.reason.txt").symlink_to(theirs.folders.data / "cron")
    theirs.put("a.csv")
    theirs.notes(2)
    assert not (theirs.folders.data / "cron").exists()
    assert "one column only" in (theirs.path / "rejected" / "a-2.csv.reason.txt").read_text()
    assert (theirs.path / "rejected" / "a-2.csv").exists()


@AS_ROOT
def test_what_is_made_belongs_to_the_users_of_the_folder_whatever_the_umask(
    theirs: Theirs,
) -> None:
    theirs.given_away()
    path = theirs.put("a.csv")
    path.chmod(0o640)
    os.chown(path, OTHER, OTHER)
    before = os.umask(0o077)
    try:
        theirs.pages(2)
    finally:
        os.umask(before)
    reason = (theirs.path / "rejected" / "a.csv.reason.txt").stat()
    part = (theirs.path / "rejected").stat()
    assert (reason.st_uid, reason.st_mode & 0o777) == (OTHER, 0o640)
    assert (part.st_uid, part.st_mode & 0o777) == (OTHER, 0o755)


@pytest.mark.parametrize("instead", ["link", "pipe"])
def test_a_file_that_is_exchanged_after_the_look_is_not_read(theirs: Theirs, instead: str) -> None:
    path = theirs.put("a.csv")

    class Exchanged(RealFolder):
        def status(self, name: str, part: str = "") -> os.stat_result:
            status = super().status(name, part)
            path.unlink()
            path.symlink_to(theirs.secret) if instead == "link" else os.mkfifo(path)
            return status

    with pytest.raises((OSError, NotTrusted), match=r"symbolic links|is a pipe"):
        Exchanged(theirs.path).open("a.csv")


def test_a_refused_entry_is_counted_once_and_again_while_it_stays(theirs: Theirs) -> None:
    (theirs.path / "a.csv").symlink_to(theirs.secret)
    options = ReadOptions("shop", theirs.folders, Time("timestamp"), ())
    connector = connect(FolderConnection(str(theirs.path)), options)
    counts = [
        [page.refused for page in connector.pages(None, now)]
        for now in (NOW, NOW + timedelta(seconds=5), NOW + LATER)
    ]
    assert counts == [[1], [0], [1]]


def test_no_descriptor_stays_open_after_a_call(theirs: Theirs) -> None:
    theirs.put("a.csv")
    before = set(os.listdir("/proc/self/fd"))
    theirs.pages(3)
    assert set(os.listdir("/proc/self/fd")) <= before

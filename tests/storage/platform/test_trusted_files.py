"""Trusted files: owners, modes, links and kinds of what may be loaded."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage.platform.trusted_files import (
    NotTrusted,
    check_trusted,
    open_directory,
    read_trusted,
    writable_by_others,
)

OTHER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "functions"
    folder.mkdir(mode=0o755)
    path = folder / "mine.py"
    path.write_text("x = 1\n")
    path.chmod(0o644)
    return path


def of_another(path: Path) -> None:
    os.lchown(path, OTHER, OTHER)


def for_a_group(path: Path) -> None:
    path.chmod(0o664)
    os.chown(path, 0, OTHER)


def test_a_file_of_this_user_is_read(file: Path) -> None:
    assert read_trusted(file) == b"x = 1\n"
    check_trusted(file)


@AS_ROOT
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (of_another, "belongs to .* and Hoursight runs as root"),
        (lambda path: of_another(path.parent), "functions belongs to "),
        (lambda path: path.chmod(0o646), "other users can write to .*mine.py"),
        (lambda path: path.parent.chmod(0o777), "other users can write to .*functions,"),
        (lambda path: path.parent.chmod(0o1777), "other users can write to .*functions,"),
        (for_a_group, "chmod go-w"),
    ],
)
def test_what_others_can_have_written_is_refused_with_the_remedy(
    file: Path, change: Callable[[Path], object], says: str
) -> None:
    change(file)
    with pytest.raises(NotTrusted, match=says):
        read_trusted(file)


@pytest.mark.parametrize(
    ("group", "members", "others"),
    [("ann", [], False), ("ann", ["ann"], False), ("ann", ["bob"], True), ("staff", [], True)],
)
def test_only_the_private_group_of_the_owner_may_write(
    file: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], others: bool
) -> None:
    file.chmod(0o664)
    user = SimpleNamespace(pw_name="ann", pw_gid=file.stat().st_gid)
    monkeypatch.setattr("pwd.getpwuid", lambda _: user)
    entry = SimpleNamespace(gr_name=group, gr_mem=members)
    monkeypatch.setattr("grp.getgrgid", lambda _: entry)
    assert writable_by_others(file.stat()) is others


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_not_a_regular_file_is_refused_without_waiting_for_it(
    file: Path, kind: str
) -> None:
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(NotTrusted, match="is not a regular file"):
        read_trusted(file)


def test_a_link_of_ours_is_followed(file: Path) -> None:
    link = file.with_name("other.py")
    link.symlink_to("../functions/mine.py")
    assert read_trusted(link) == b"x = 1\n"


@AS_ROOT
def test_a_link_of_another_user_is_refused(file: Path) -> None:
    link = file.with_name("other.py")
    link.symlink_to(file)
    of_another(link)
    with pytest.raises(NotTrusted, match="belongs to "):
        read_trusted(link)


@AS_ROOT
def test_a_link_into_a_folder_of_others_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.py").write_text("x = 2\n")
    of_another(tmp_path / "theirs")
    file.with_name("other.py").symlink_to("../theirs/a.py")
    with pytest.raises(NotTrusted, match="theirs belongs to "):
        read_trusted(file.with_name("other.py"))


def test_links_that_lead_to_each_other_end(file: Path) -> None:
    for one, two in (("a", "b"), ("b", "a")):
        file.with_name(one).symlink_to(two)
    with pytest.raises(OSError, match="Too many levels"):
        read_trusted(file.with_name("a"))
    with pytest.raises(OSError, match="Too many levels"):
        open_directory(file.with_name("a"))


def test_a_folder_is_opened_through_a_link_of_ours_and_created_below_it(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    os.close(open_directory(tmp_path / "data" / "drop" / ".." / "drop", create=True))
    assert (tmp_path / "disk" / "drop").is_dir()


@AS_ROOT
@pytest.mark.parametrize("whose", ["link", "folder"])
def test_a_link_that_others_can_change_is_never_on_the_way(tmp_path: Path, whose: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "drop").symlink_to(tmp_path)
    of_another(theirs / "drop" if whose == "link" else theirs)
    with pytest.raises(NotTrusted, match=r"'drop' in .* symbolic link that other users can change"):
        open_directory(theirs / "drop" / "incoming", create=True)
    assert not (tmp_path / "incoming").exists()

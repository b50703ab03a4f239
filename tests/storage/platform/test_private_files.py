import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.platform.private_files import (
    GROUP_MODE,
    PRIVATE_MODE,
    apply_mode,
    create_private_folder,
    mode_of,
    open_lock,
    paths_beyond,
    restrict_new_files,
)

ANOTHER_USER = 65534


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A process whose umask grants everything, and an end that sets the former one again."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(("mode", "folder", "file"), [(0o700, 0o700, 0o600), (0o750, 0o750, 0o640)])
def test_new_files_grant_no_more_than_the_mode(
    tmp_path: Path, mode: int, folder: int, file: int
) -> None:
    restrict_new_files(mode)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert (mode_of(tmp_path / "folder"), mode_of(tmp_path / "file")) == (folder, file)


def test_a_lock_file_is_private_under_every_umask(tmp_path: Path) -> None:
    with open_lock(tmp_path / "lock"):
        assert mode_of(tmp_path / "lock") == 0o600


def test_a_lock_file_is_not_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        open_lock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_folder_and_an_empty_one_are_private_and_a_used_one_stays(tmp_path: Path) -> None:
    for name in ("empty", "used"):
        (tmp_path / name).mkdir(mode=0o755)
    (tmp_path / "used" / "file").touch()
    for name in ("new", "empty", "used"):
        create_private_folder(tmp_path / name)
    modes = [mode_of(tmp_path / name) for name in ("new", "empty", "used")]
    assert modes == [0o700, 0o700, 0o755]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An open folder with an open file, a closed folder with an open one, and a link."""
    root = tmp_path / "tree"
    (root / "closed").mkdir(parents=True)
    (root / "closed" / "file").touch()
    (root / "file").touch()
    (root / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").touch()
    (root / "closed").chmod(0o700)
    return root


def test_a_path_out_of_reach_is_not_open(tree: Path) -> None:
    assert list(paths_beyond(tree, PRIVATE_MODE)) == [tree, tree / "file"]
    tree.chmod(0o700)
    assert list(paths_beyond(tree, PRIVATE_MODE)) == []


def test_a_folder_is_closed_with_all_that_is_in_it_and_no_link_is_followed(tree: Path) -> None:
    (tree / "closed").chmod(0o777)
    (tree / "file").chmod(0o4755)
    assert list(apply_mode(tree, PRIVATE_MODE)) == []
    paths = (tree, tree / "closed", tree / "closed" / "file", tree / "file")
    assert [stat.S_IMODE(p.stat().st_mode) & 0o777 for p in paths] == [0o700, 0o700, 0o600, 0o700]
    assert mode_of(tree.parent / "outside") == 0o666


def test_a_group_gets_what_is_shared_and_nothing_else(tree: Path) -> None:
    private = {tree / "closed": PRIVATE_MODE}
    assert list(apply_mode(tree, GROUP_MODE, private)) == []
    assert [mode_of(tree), mode_of(tree / "closed"), mode_of(tree / "file")] == [
        0o750, 0o700, 0o640,
    ]  # fmt: skip
    assert list(paths_beyond(tree, GROUP_MODE, private)) == []
    assert list(paths_beyond(tree, PRIVATE_MODE)) == [tree, tree / "file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_an_open_file_of_another_user_is_named(tree: Path) -> None:
    os.chown(tree, ANOTHER_USER, -1)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.chdir(tree)
        os.setresuid(ANOTHER_USER, ANOTHER_USER, ANOTHER_USER)
        os.write(write, " ".join(map(str, apply_mode(Path(), PRIVATE_MODE))).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert (os.read(read, 1000), mode_of(tree)) == (b"file", 0o700)

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.lake.file_check import LakeFile, check_content, check_presence
from storage.lake.hash_manifest import hash_of

CONTENT = b"PAR1" + bytes(range(40)) + b"PAR1"
FILE = LakeFile(1, 2, "metrics", "a.parquet", len(CONTENT), 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / FILE.path
    path.write_bytes(CONTENT)
    return path


def be(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "is missing": Path.unlink,
    "is truncated: it has 30 bytes (expected 48)": lambda path: os.truncate(path, 30),
    "is truncated: it has 0 bytes (expected 48)": lambda path: os.truncate(path, 0),
    "is damaged: it has 49 bytes (expected 48)": lambda path: path.write_bytes(CONTENT + b"x"),
    "is damaged: it is not a Parquet file any more": lambda path: path.write_bytes(bytes(48)),
    "cannot be read: it is not a regular file": be(os.mkfifo),
    "cannot be read: Too many levels of symbolic links": be(lambda path: path.symlink_to(path)),
}


@pytest.mark.parametrize("why", DAMAGES)
def test_presence_is_checked(path: Path, why: str) -> None:
    assert check_presence(path.parent, FILE) is None
    DAMAGES[why](path)
    assert str(check_presence(path.parent, FILE)) == f"a.parquet {why}"


def test_a_file_that_this_user_may_not_read_is_unreadable(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    path.chmod(0)
    path.parent.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.chdir(path.parent)  # whose parents are open to root alone
        os.setuid(65534)
        problem = check_presence(Path(), FILE)
        os._exit(0 if "cannot be read: Permission denied" in str(problem) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("bit", range(0, 8 * len(CONTENT), 13))
def test_each_flipped_bit_is_noticed(path: Path, bit: int) -> None:
    expected, content = hash_of(path), bytearray(CONTENT)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    problem = check_content(path.parent, FILE, expected)
    assert problem is not None
    assert problem.kind == "damaged"


def test_a_sound_file_and_one_without_a_hash_are_no_damage(path: Path) -> None:
    assert check_content(path.parent, FILE, hash_of(path)) is None
    assert check_content(path.parent, FILE, None) is None


def failing_with(code: int) -> Callable[..., None]:
    def fail(path: Path, **_: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    return fail


def test_a_file_that_fails_while_it_is_read_is_unreadable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hash_of(path)
    monkeypatch.setattr("storage.lake.file_check.hash_of", failing_with(errno.EIO))
    problem = check_content(path.parent, FILE, expected)
    assert str(problem) == "a.parquet cannot be read: Input/output error"


def test_an_error_that_is_not_of_the_file_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hash_of(path)
    monkeypatch.setattr("storage.lake.file_check.hash_of", failing_with(errno.EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        check_content(path.parent, FILE, expected)

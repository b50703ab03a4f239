"""A lake in a folder that its reader cannot write; another user reads in a forked child."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import LakeUnreadable
from storage.lake.backup import back_up
from storage.lake.read_only_folder import catalog_copy, is_writable, shared_lock
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(work: Callable[[], object]) -> str:
    """The result of `work` in a child process of another user, as text."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            text = str(work())
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as result:
        text = result.read()
    os.waitpid(pid, 0)
    return text


@pytest.fixture
def foreign(house: LakeFixture) -> Iterator[LakeFixture]:
    """The lake of another user, readable by all, with one sample."""
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1.0}])
    house.commit()
    folder = house.folders.data
    closed = {p: p.stat().st_mode for p in folder.parents if p.stat().st_mode & 5 != 5}
    for path in closed:
        path.chmod(0o755)
    make_readable(folder)
    yield house
    for path, mode in closed.items():
        path.chmod(mode)


def make_readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def count(data: Path) -> int:
    with closing(Reader.open(data)) as reader:
        n: int = reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()
        return n


def test_another_users_lake_is_read_while_its_writer_runs(foreign: LakeFixture) -> None:
    foreign.put("metrics", [{"server": "b", "ts": NOW, "load_average": 1.0}])
    foreign.commit()
    make_readable(foreign.folders.data)
    assert as_nobody(lambda: count(foreign.folders.data)) == "2"


def test_another_users_lake_is_read_when_nothing_has_it_open(foreign: LakeFixture) -> None:
    foreign.reader.close()
    foreign.writer.close()
    make_readable(foreign.folders.data)
    assert as_nobody(lambda: count(foreign.folders.data)) == "1"


def test_another_users_lake_can_be_backed_up(foreign: LakeFixture) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    data, target = foreign.folders.data, folder / "b.tar"
    assert as_nobody(lambda: back_up(data, target).tables["metrics"].rows) == "1"
    assert [path.name for path in folder.iterdir()] == ["b.tar"]
    shutil.rmtree(folder)


def test_a_folder_of_another_user_that_is_closed_is_refused_with_the_remedy(
    foreign: LakeFixture,
) -> None:
    foreign.folders.data.chmod(0o700)
    said = as_nobody(lambda: count(foreign.folders.data))
    assert said.startswith(f"LakeUnreadable: {foreign.folders.data} cannot be read by this user")
    assert "ask the owner for read permission" in said


def test_a_lock_is_shared_by_those_who_may_only_read_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with shared_lock(path), path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_copy_of_a_catalog_has_its_wal_and_is_removed(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_bytes(b"catalog")
    (tmp_path / "c.sqlite-wal").write_bytes(b"log")
    with catalog_copy(tmp_path / "c.sqlite") as copy:
        assert copy.read_bytes() == b"catalog"
        assert copy.with_name("c.sqlite-wal").read_bytes() == b"log"
        assert copy.parent.stat().st_mode & 0o777 == 0o700
    assert not copy.parent.exists()


def test_a_catalog_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").mkdir()
    copy = catalog_copy(tmp_path / "c.sqlite")
    with pytest.raises(LakeUnreadable, match=r"c\.sqlite cannot be copied"):
        copy.__enter__()


def test_a_folder_of_another_user_is_not_writable(foreign: LakeFixture) -> None:
    assert is_writable(foreign.folders.data)
    assert as_nobody(lambda: is_writable(foreign.folders.data)) == "False"

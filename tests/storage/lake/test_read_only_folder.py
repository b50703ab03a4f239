"""A lake in a folder that its reader cannot write; another user reads in a forked child."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
def foreign(house: LakeFixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """The lake of another user, readable by all, with one sample."""
    house.put("metrics", [{"server": "a", "ts": NOW, "load_average": 1.0}])
    house.commit()
    folder = house.folders.data
    opened = [p for p in folder.parents if not p.stat().st_mode & 0o005 == 0o005]
    modes = {p: p.stat().st_mode for p in opened}
    for path in opened:
        path.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield house
    for path, mode in modes.items():
        path.chmod(mode)


def count(data: Path) -> int:
    reader = Reader.open(data)
    n: int = reader.query("SELECT count(*) AS n FROM metrics")["n"][0].as_py()
    reader.close()
    return n

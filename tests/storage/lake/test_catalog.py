"""A lake whose catalog is a PostgreSQL database: a real server, killed and cut off in earnest."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import duckdb
import pytest

from scripts.cli.doctor import findings
from scripts.tools.postgres_server import Cluster, Proxy, missing
from storage.config.folders import Folders
from storage.config.settings import LakeSettings, Settings, write_settings
from storage.lake.backup import back_up, restore
from storage.lake.catalog_loss import CatalogLost
from storage.lake.writer import DataFolderNotWritable, Writer, WriterRunning
from storage.query.reader import LakeMissing, LakeUnreadable, Reader
from tests.conftest import NOW, LakeFixture

needs_postgres = pytest.mark.skipif(missing() is not None, reason=str(missing()))
LATER = NOW + timedelta(seconds=5)
databases = count()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    cluster = Cluster()
    proxy = Proxy(cluster)
    yield proxy
    proxy.close()
    cluster.close()


@pytest.fixture
def settle(proxy: Proxy, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a data folder whose catalog is one and the same new database, through the proxy."""
    database = f"lake{next(databases)}"
    proxy.cluster.create(database)
    address = f"postgres:host=127.0.0.1 port={proxy.port} user=hoursight dbname={database}"

    def make(name: str) -> Path:
        data_path = str(tmp_path / "files")
        write_settings(tmp_path / name, Settings(lake=LakeSettings(address, data_path)))
        return tmp_path / name

    return make


@pytest.fixture
def remote(settle: Callable[[str], Path]) -> Iterator[LakeFixture]:
    data = settle("here")
    house = LakeFixture(Folders.at(data), Writer.open(data), Reader.open(data))
    yield house
    house.reader.close()
    house.writer.close()


def sample(server: str) -> list[dict[str, object]]:
    return [{"server": server, "ts": NOW, "load_average": 1.0}]


@needs_postgres
def test_a_lost_reply_to_a_commit_loses_no_file_and_doubles_no_row(
    proxy: Proxy, remote: LakeFixture
) -> None:
    remote.put("processes", [{"process": "p", "ts": NOW, "event": "started"}])
    proxy.arm("cut")
    with pytest.raises(duckdb.Error):
        remote.commit()
    assert remote.one("SELECT count(*) FROM processes") == 1  # it had happened
    assert remote.commit(LATER).repeated == 1
    assert remote.one("SELECT count(*) FROM processes") == 1


@needs_postgres
def test_an_empty_database_over_the_files_of_another_catalog_is_refused(
    proxy: Proxy, remote: LakeFixture, tmp_path: Path
) -> None:
    remote.put("metrics", sample("a"))
    remote.commit()
    proxy.cluster.create(database := f"lake{next(databases)}")
    address = f"postgres:host=127.0.0.1 port={proxy.port} user=hoursight dbname={database}"
    there = tmp_path / "there"
    write_settings(there, Settings(lake=LakeSettings(address, str(tmp_path / "files"))))
    for door in (Writer.open, Reader.open):
        with pytest.raises(CatalogLost, match=r"has no lake, and .*files has 3 Parquet files"):
            door(there)


@needs_postgres
def test_a_commit_that_never_reached_the_server_leaves_no_file(
    proxy: Proxy, remote: LakeFixture, tmp_path: Path
) -> None:
    remote.put("metrics", sample("a"))
    proxy.arm("sent")
    with pytest.raises(duckdb.Error):
        remote.commit()
    assert "does not answer" in remote.writer.diagnose(duckdb.Error("server closed the connection"))
    proxy.cluster.await_ready()
    assert remote.commit(LATER).rows["metrics"] == 1
    files = (tmp_path / "files" / "main" / "metrics").rglob("*.parquet")
    assert len(list(files)) == 1


@needs_postgres
def test_a_second_host_can_read_and_not_write(
    remote: LakeFixture, settle: Callable[[str], Path]
) -> None:
    remote.put("metrics", sample("a"))
    remote.commit()
    there = settle("there")
    with pytest.raises(WriterRunning, match="another writer, maybe of another host"):
        Writer.open(there)
    with closing(Reader.open(there)) as reader:
        assert reader.query("SELECT server FROM metrics")["server"].to_pylist() == ["a"]


@needs_postgres
def test_commits_lost_by_a_failover_are_repeated(
    proxy: Proxy, settle: Callable[[str], Path]
) -> None:
    data = settle("here")
    database = f"lake{next(databases)}"
    Writer.open(data).close()
    proxy.cluster.create(database, like=f"lake{int(database[4:]) - 1}")
    house = LakeFixture(Folders.at(data), Writer.open(data), Reader.open(data))
    house.put("metrics", sample("a"))
    assert house.commit().rows["metrics"] == 1
    house.reader.close()
    house.writer.close()
    text = house.folders.settings.read_text()
    house.folders.settings.write_text(text.replace(f"lake{int(database[4:]) - 1}", database))
    with closing(Writer.open(data)) as writer, closing(Reader.open(data)) as reader:
        assert reader.query("SELECT server FROM metrics").num_rows == 0
        assert writer.commit_waiting(LATER).rows["metrics"] == 1


@needs_postgres
def test_a_backup_of_a_postgres_lake_is_restored_to_sqlite(
    remote: LakeFixture, tmp_path: Path
) -> None:
    remote.put("metrics", sample("a"))
    remote.commit()
    back_up(remote.folders.data, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "again")
    with closing(Writer.open(tmp_path / "again")), closing(Reader.open(tmp_path / "again")) as lake:
        assert lake.query("SELECT server FROM metrics")["server"].to_pylist() == ["a"]


@needs_postgres
def test_a_database_without_a_lake_is_reported(settle: Callable[[str], Path]) -> None:
    with pytest.raises(LakeMissing):
        Reader.open(settle("here"))


def test_a_postgres_server_that_does_not_answer_is_reported_with_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_postgres_scanner", reason="needs the extra 'postgres'")
    away = "postgres:host=127.0.0.1 port=1 dbname=lake"
    write_settings(tmp_path, Settings(lake=LakeSettings(away)))
    remedy = r"dbname=lake\) does not answer.*: start the server, or correct \[lake\] catalog"
    with pytest.raises(LakeUnreadable, match=remedy):
        Reader.open(tmp_path)
    with pytest.raises(DataFolderNotWritable, match=remedy):
        Writer.open(tmp_path)
    lake = next(f for f in findings(tmp_path, NOW) if f.about == "lake")
    assert "does not answer" in lake.text
    assert not lake.well

"""Read access of the site to the lake: missing, replaced and pinned to a snapshot."""

import shutil
from pathlib import Path

import pytest

from tests.web.site_lakes import LakeServer, SiteLakeWriter
from web.lake_session import LakeMissing, LakeSession, sql

COUNT = "SELECT count(DISTINCT server) AS n FROM server_facts"


def servers(session: LakeSession) -> int:
    with session.snapshot() as reader:
        n: int = reader.query(COUNT)["n"][0].as_py()
        return n


def test_a_missing_lake_is_an_error_until_it_exists(tmp_path: Path) -> None:
    session = LakeSession(tmp_path / "var")
    with pytest.raises(LakeMissing), session.snapshot():
        pass
    writer = SiteLakeWriter(tmp_path / "var")
    assert servers(session) == 0
    writer.close()


def test_a_snapshot_does_not_see_later_commits_and_the_next_one_does(lake: SiteLakeWriter) -> None:
    session = LakeSession(lake.folders.data)
    with session.snapshot() as reader:
        assert reader.query(COUNT)["n"][0].as_py() == 0
        lake.fleet([LakeServer("late")])
        assert reader.query(COUNT)["n"][0].as_py() == 0
    assert servers(session) == 1


def test_a_replaced_lake_is_opened_again(lake: SiteLakeWriter, tmp_path: Path) -> None:
    session = LakeSession(lake.folders.data)
    assert servers(session) == 0
    lake.close()
    other = SiteLakeWriter(tmp_path / "other").fleet([LakeServer("a"), LakeServer("b")])
    other.close()
    shutil.rmtree(lake.folders.data)
    other.folders.data.rename(lake.folders.data)
    assert servers(session) == 2


def test_a_closed_session_opens_the_lake_again(lake: SiteLakeWriter) -> None:
    session = LakeSession(lake.folders.data)
    assert servers(session) == 0
    session.close()
    assert servers(session) == 0


def test_a_view_in_a_statement_is_as_of_the_parameter_now() -> None:
    assert "{fleet_now}" not in sql("fleet")
    assert "$now" in sql("server")

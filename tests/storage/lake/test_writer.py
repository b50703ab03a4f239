import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.config.settings import DataSettings, Settings, write_settings
from storage.lake.attach import ReadersBusy
from storage.lake.writer import Writer, WriterRunning
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at


def sample(server: str = "a", seconds: int = 0, memory: float = 50.0) -> dict[str, Any]:
    return {"server": server, "ts": NOW - timedelta(seconds=seconds), "mem_used_pct": memory}


def count_files(house: LakeFixture) -> int:
    return len(list((house.folders.lake / "main" / "metrics").rglob("*.parquet")))


def test_rows_and_commit_log_are_committed_and_the_segment_is_removed(house: LakeFixture) -> None:
    house.put("metrics", [sample()], cursor="c")
    assert house.commit().rows == {"metrics": 1, "server_facts": 1, "segments": 1}
    assert house.one("SELECT cursor FROM segments") == "c"
    assert list(house.folders.inbox.iterdir()) == []


def test_a_repeated_batch_is_dropped(house: LakeFixture) -> None:
    path = house.put("processes", [{"process": "web", "ts": NOW, "event": "started"}])
    copy = path.read_bytes()
    house.commit()
    path.write_bytes(copy)
    assert house.commit().repeated == 1
    assert house.one("SELECT count(*) FROM processes") == 1


def test_a_record_sent_twice_is_stored_once_and_the_first_stays(house: LakeFixture) -> None:
    house.put("metrics", [sample(memory=1), sample(memory=2)])
    house.commit()
    house.put("metrics", [sample(memory=3), sample("b")])
    assert house.commit().rows["metrics"] == 1
    assert house.one("SELECT mem_used_pct FROM metrics WHERE server = 'a'") == 1


def test_a_repeated_rollup_replaces_the_old_one(house: LakeFixture) -> None:
    for mean in (1.0, 2.0):
        house.put("metrics_5m", [{"server": "a", "ts": NOW, "mem_used_pct_mean": mean}])
        house.commit()
    assert house.reader.query("SELECT mem_used_pct_mean AS m FROM metrics_5m")["m"].to_pylist() == [
        2.0
    ]


def issued(state: str, model: str | None = None) -> dict[str, Any]:
    return {
        "server": "a", "metric": "mem_used_pct", "issued_at": NOW, "made_at": NOW, "state": state,
        "model": model,
    }  # fmt: skip


@pytest.mark.parametrize("together", [True, False])
def test_a_forecast_replaces_an_abstention_of_the_same_origin_and_never_the_reverse(
    house: LakeFixture, together: bool
) -> None:
    rows = (issued("abstained"), issued("ok", "1"), issued("abstained"), issued("ok", "2"))
    for i, row in enumerate(rows):
        house.put("forecasts", [row], created_at=NOW + timedelta(microseconds=i))
        if not together:
            house.commit()
    house.commit()
    stored = house.reader.query("SELECT state, model FROM forecasts").to_pylist()
    assert stored == [{"state": "ok", "model": "1"}]


def test_the_first_of_two_abstentions_stays(house: LakeFixture) -> None:
    for why in ("first", "second"):
        house.put("forecasts", [issued("abstained") | {"why": why}])
        house.commit()
    assert house.reader.query("SELECT why FROM forecasts")["why"].to_pylist() == ["first"]


def test_a_repeated_forecast_batch_that_replaced_an_abstention_is_dropped(
    house: LakeFixture,
) -> None:
    house.put("forecasts", [issued("abstained")])
    house.commit()
    path = house.put("forecasts", [issued("ok", "1")])
    copy = path.read_bytes()
    assert house.commit().rows["forecasts"] == 1
    path.write_bytes(copy)
    assert house.commit().repeated == 1
    assert house.one("SELECT count(*) FROM forecasts") == 1


def test_a_new_server_is_registered_at_its_first_sample(
    house: LakeFixture,
) -> None:
    house.put("metrics", [sample("ppdb007", seconds=60), sample("ppdb007")])
    house.commit()
    known = house.reader.query("SELECT server, profile, first_seen FROM servers").to_pylist()[0]
    assert (known["server"], known["profile"]) == ("ppdb007", "database")
    assert known["first_seen"] == NOW - timedelta(seconds=60)


def test_facts_from_a_source_are_kept(house: LakeFixture) -> None:
    house.put("server_facts", [{"server": "a", "ts": NOW, "profile": "web_api", "cores": 4}])
    house.put("metrics", [sample("a")])
    house.commit()
    assert house.reader.query("SELECT profile, cores FROM servers").to_pylist() == [
        {"profile": "web_api", "cores": 4}
    ]


def test_there_is_only_ever_one_writer(house: LakeFixture) -> None:
    with pytest.raises(WriterRunning, match="another writer uses"):
        Writer.open(house.folders.data)


def test_a_reader_beside_the_writer_sees_each_commit(house: LakeFixture) -> None:
    beside = Reader.open(house.folders.data)
    for count in (1, 2):
        house.put("metrics", [sample(seconds=count)])
        house.commit()
        assert beside.query("SELECT count(*) AS n FROM metrics")["n"].to_pylist() == [count]
    beside.close()


def test_a_commit_announces_the_tables_that_changed(house: LakeFixture) -> None:
    house.put("metrics", [sample()])
    house.commit()
    assert {p.name for p in house.folders.announce.iterdir()} == {
        "metrics", "segments", "server_facts",
    }  # fmt: skip


def test_maintenance_merges_files_and_changes_no_row(house: LakeFixture) -> None:
    for seconds in range(6):
        house.put("metrics", [sample(seconds=seconds)])
        house.commit()
    before = count_files(house)
    for minutes in (0, 30, 60):
        house.writer.run_maintenance(NOW + timedelta(minutes=minutes))
        assert house.one("SELECT count(*) FROM metrics") == 6
    assert count_files(house) < before
    assert house.one("SELECT count(*) FROM segments") == 6


def test_a_merge_waits_for_its_readers_and_hides_no_row_from_them(house: LakeFixture) -> None:
    for seconds in range(4):
        house.put("metrics", [sample(seconds=seconds)])
        house.commit()
    with house.reader.pinned() as pinned:
        with pytest.raises(ReadersBusy):
            house.writer.merge("metrics", patience_s=0.01)
        assert pinned.query("SELECT count(*) AS n FROM metrics")["n"].to_pylist() == [4]
    house.writer.merge("metrics")
    assert house.one("SELECT count(*) FROM metrics") == 4


def test_a_merge_that_finds_nothing_to_merge_waits_for_nobody(house: LakeFixture) -> None:
    house.put("metrics", [sample()])
    house.commit()
    with house.reader.pinned():
        house.writer.merge("metrics", patience_s=0.01)


def forecast(metric: str, minutes: int, why: str = "") -> dict[str, Any]:
    issued_at = NOW + timedelta(minutes=minutes)
    return {
        "server": "a", "metric": metric, "issued_at": issued_at, "made_at": NOW, "state": "ok",
        "why": why,
    }  # fmt: skip


def test_a_repeated_forecast_is_stored_once_whatever_came_between(house: LakeFixture) -> None:
    first = [forecast("cpu", 0), forecast("mem", 0)]
    for batch in (first, [forecast("cpu", 5)], first, [forecast("mem", 5), forecast("mem", 0)]):
        house.put("forecasts", batch)
        house.commit()
    assert house.one("SELECT count(*) FROM forecasts") == 4


def test_facts_as_old_as_a_servers_registration_are_not_written_beside_it(
    house: LakeFixture,
) -> None:
    fact = {"server": "b", "ts": NOW, "profile": "web"}
    house.put("server_facts", [fact | {"server": "a"}])
    house.commit()
    house.put("metrics", [sample() | {"server": "b", "ts": NOW}])
    house.commit()
    house.put("server_facts", [fact])
    house.commit()
    assert house.one("SELECT count(*) FROM server_facts WHERE server = 'b'") == 1


@pytest.mark.parametrize(("sharing", "beyond"), [(False, 0o077), (True, 0o027)])
def test_others_read_nothing_that_a_writer_creates_whatever_its_umask_was(
    tmp_path: Path, sharing: bool, beyond: int
) -> None:
    data, before = tmp_path / "new" / "data", os.umask(0)
    try:
        settings = write_settings(data, Settings(data=DataSettings(group_readable=sharing)))
        with house_at(data) as house:
            house.put("metrics", [sample()])
            house.commit()
            created = set(data.rglob("*.*")) - {settings}
    finally:
        os.umask(before)
    assert data.stat().st_mode & 0o777 == 0o700
    assert [path for path in created if path.stat().st_mode & beyond] == []
    assert {path.suffix for path in created} >= {".sqlite", ".parquet", ".lock", ".arrow"}

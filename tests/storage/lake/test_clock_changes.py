"""The host's clock is set by an hour: no accepted row is lost or left out."""

from datetime import datetime, timedelta
from typing import Any

from storage.lake.transaction import newest_mtime_s
from storage.model.grid import STEP, floor_step
from storage.query.windows import rollup
from tests.conftest import NOW, LakeFixture

HOUR = timedelta(hours=1)
BEGINNING = NOW - timedelta(days=400)


def sample(when: datetime, server: str = "a") -> dict[str, Any]:
    return {"server": server, "ts": when, "mem_used_pct": 50.0}


def test_samples_from_before_the_clock_went_back_are_taken(house: LakeFixture) -> None:
    house.put("metrics", [sample(NOW + HOUR)], created_at=NOW + HOUR)
    assert house.commit(NOW).rows["metrics"] == 1


def test_rows_from_the_senders_future_are_still_refused(house: LakeFixture) -> None:
    house.put("metrics", [sample(NOW + 2 * HOUR), sample(NOW + HOUR, "b")], created_at=NOW + HOUR)
    house.commit(NOW)
    assert house.one("SELECT string_agg(server) FROM metrics") == "b"


def test_commits_stay_in_order_when_the_clock_goes_back(house: LakeFixture) -> None:
    for now in (NOW + HOUR, NOW, NOW + STEP):
        house.put("metrics", [sample(now - STEP)], created_at=now)
        house.commit(now)
    times = house.reader.query("SELECT ts FROM segments ORDER BY last_ts")["ts"].to_pylist()
    instant = timedelta(microseconds=1)
    assert times == [NOW + HOUR + instant, NOW + HOUR + 2 * instant, NOW + HOUR]


def test_rollups_continue_at_once_when_the_clock_goes_back(house: LakeFixture) -> None:
    later = NOW + HOUR
    house.put("metrics", [sample(later - 2 * STEP)], created_at=later)
    house.commit(later)
    rows, cursor = rollup(house.reader, BEGINNING, floor_step(later))
    assert rows.num_rows == 1
    house.put("metrics", [sample(NOW - 2 * STEP)])
    house.commit(NOW)
    assert rollup(house.reader, cursor, floor_step(NOW))[0].num_rows == 1


def test_commits_stay_in_order_after_a_restart(house: LakeFixture) -> None:
    house.put("metrics", [sample(NOW)])
    house.commit(NOW + HOUR)
    house.writer.close()
    again = type(house.writer).open(house.folders.data)
    house.put("metrics", [sample(NOW, "b")])
    again.commit_waiting(NOW)
    again.close()
    assert house.one("SELECT min(ts) FROM segments") == NOW + HOUR
    assert house.one("SELECT count(DISTINCT ts) FROM segments") == 2


def test_segments_from_a_clock_years_ahead_are_rejected_and_not_deleted(house: LakeFixture) -> None:
    ahead = NOW + timedelta(days=3650)
    path = house.put("metrics", [sample(ahead)], created_at=ahead)
    assert "set this host's clock, then move the file back" in house.commit().rejected[0].reason
    assert (house.folders.rejected / path.name).exists()


def test_a_clock_set_forward_removes_nothing_that_readers_need(house: LakeFixture) -> None:
    house.put("metrics", [sample(NOW)])
    house.commit()
    with house.reader.pinned() as pinned:
        pinned.snapshot()
        steps = list(house.writer.maintenance_steps(datetime.now(NOW.tzinfo) + HOUR))[:2]
        for step in steps:
            step()
        assert pinned.query("SELECT * FROM metrics").num_rows == 1


def test_the_last_values_are_those_of_the_present(house: LakeFixture) -> None:
    house.put("metrics", [sample(NOW + HOUR), sample(NOW + HOUR, "b")], created_at=NOW + HOUR)
    house.commit(NOW + HOUR)
    house.put("metrics", [sample(NOW)])
    house.commit(NOW)
    shown = house.reader.latest(NOW - HOUR, NOW).select(["server", "ts"]).to_pylist()
    assert shown == [{"server": "a", "ts": NOW}]


def test_files_are_synced_also_when_the_clock_goes_back_meanwhile() -> None:
    written_s = NOW.timestamp()
    assert newest_mtime_s(NOW, written_s + 1) <= written_s
    assert newest_mtime_s(NOW + 2 * HOUR, written_s + 1) <= written_s  # it was set back since
    assert newest_mtime_s(NOW, written_s + 9) > written_s - 2  # files of before are left out

"""Debug lines at the borders of the store: what an operator finds in the log."""

import logging
from datetime import timedelta

import pytest

from storage.lake import attach
from storage.query.reader import Reader
from tests.conftest import NOW, LakeFixture

SAMPLE = {"server": "a", "ts": NOW, "cpu_user_pct": 1.0, "source": "test"}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def test_a_segment_and_its_commit_say_rows_bytes_and_times(
    house: LakeFixture, log: pytest.LogCaptureFixture
) -> None:
    path = house.put("metrics", [SAMPLE])
    house.commit()
    size = next(r for r in log.messages if r.startswith("segment written"))
    assert path.name in size
    assert ", table metrics, batch " in size
    assert ", 1 rows, " in size
    assert any(m.startswith("transaction: ") and "of COMMIT" in m for m in log.messages)
    assert any(m.startswith("commit of 1 segments: 1 new, 0 rejected") for m in log.messages)
    assert "announced metrics, server_facts, segments" in log.messages


def test_the_reason_for_dropped_rows_is_logged(
    house: LakeFixture, log: pytest.LogCaptureFixture
) -> None:
    house.put("metrics", [SAMPLE], batch_id="b1")
    house.commit()
    house.put("metrics", [SAMPLE], batch_id="b1")
    house.put("metrics", [SAMPLE], batch_id="b2")
    (house.folders.inbox / "z.parquet").write_text("not Parquet")
    house.commit()
    assert any(m.startswith("batch b1 dropped, it was committed before") for m in log.messages)
    assert "metrics: 1 values or rows repeated" in log.messages
    assert any(m.startswith("segment rejected: z.parquet: truncated") for m in log.messages)


def test_maintenance_says_what_it_did(house: LakeFixture, log: pytest.LogCaptureFixture) -> None:
    for second in range(2):
        house.put("metrics", [SAMPLE | {"ts": NOW + timedelta(seconds=second)}])
        house.commit()
    house.writer.run_maintenance(NOW)
    assert any(m.startswith("metrics: small files merged into 1") for m in log.messages)
    assert any(m.startswith("merge lock taken after") for m in log.messages)
    assert any(m.endswith(" replaced files removed") for m in log.messages)
    assert any("snapshots expired" in m for m in log.messages)
    assert any(m.startswith("maintenance: merge metrics in ") for m in log.messages)


def test_a_reader_says_when_it_opens_and_closes(
    house: LakeFixture, log: pytest.LogCaptureFixture
) -> None:
    Reader.open(house.folders.data).close()
    assert any("attached to read in" in m for m in log.messages)
    assert f"reader of {house.folders.data} opened" in log.messages
    assert f"reader of {house.folders.data} closed" in log.messages


def test_a_slow_query_shows_its_text(
    house: LakeFixture, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.query.reader.SLOW_S", 0.0)
    house.reader.query("SELECT 1\n  AS one" + " " * 500)
    assert any(m.endswith("1 rows: SELECT 1 AS one") for m in log.messages)


def test_a_transaction_that_fails_says_so(
    house: LakeFixture, log: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        house.writer._connection.transaction(fail)
    assert any("rolled back" in m and "in the middle" in m for m in log.messages)


def test_a_merge_that_meets_a_reader_says_that_it_closes_the_gate(
    house: LakeFixture, log: pytest.LogCaptureFixture
) -> None:
    with (
        attach.reader_lock(house.folders),
        pytest.raises(attach.ReadersBusy),
        attach.merge_lock(house.folders, 0.05),
    ):
        pass
    assert "no gap between readers within 0.05 s: the merge gate closes" in log.messages

from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from storage.inbox.commit_batch import RejectedSegment
from storage.inbox.segment import Provenance
from storage.inbox.validation import ValidationResult
from storage.lake.cell_merge import SegmentOutcome
from storage.lake.commit_log import committed_row, rejected_row
from storage.model.schema import table
from tests.conftest import NOW, LakeFixture

LATER = NOW + timedelta(seconds=5)


def segment(*seconds: int, reasons: tuple[str, ...] = ()) -> ValidationResult:
    rows = [{"server": "a", "ts": NOW + timedelta(seconds=s)} for s in seconds]
    provenance = Provenance(
        "metrics", "push", NOW, "b1", cursor="c", refused=2, clamped=4, reasons=("no server",)
    )
    arrow = pa.Table.from_pylist(rows, table("metrics").arrow)
    return ValidationResult(Path("x"), provenance, arrow, 4, 1, reasons, clamped=3)


def test_a_committed_segment_is_logged_with_the_span_of_its_rows() -> None:
    row = committed_row(segment(9, -3, 0), SegmentOutcome(3), LATER)
    assert row["first_ts"] == NOW - timedelta(seconds=3)
    assert row["last_ts"] == NOW + timedelta(seconds=9)
    assert (row["ts"], row["created_at"], row["outcome"]) == (LATER, NOW, "committed")
    assert (row["batch_id"], row["cursor"], row["rows_in"]) == ("b1", "c", 4)


def test_refusals_of_the_function_and_of_validation_are_added_up() -> None:
    row = committed_row(segment(0, reasons=("ts: missing",)), SegmentOutcome(1), LATER)
    assert (row["rows_refused"], row["values_clamped"]) == (3, 7)
    assert row["refusals"] == ["no server", "ts: missing"]


def test_a_segment_without_rows_has_no_span() -> None:
    row = committed_row(segment(), SegmentOutcome(0), LATER)
    assert (row["first_ts"], row["last_ts"], row["rows_committed"]) == (None, None, 0)


def test_the_reasons_of_a_segment_are_bounded() -> None:
    row = committed_row(segment(0, reasons=("x" * 100_000,) * 300), SegmentOutcome(1), LATER)
    refusals = row["refusals"]
    assert isinstance(refusals, list)
    assert len(refusals) <= 1 + 50
    assert max(map(len, refusals)) <= 2_000


def test_a_rejected_file_is_logged_by_its_name_and_only_once(house: LakeFixture) -> None:
    row = rejected_row(RejectedSegment(Path("inbox/z.parquet"), "truncated"), NOW)
    assert (row["batch_id"], row["refusals"], row["outcome"]) == (
        "z.parquet", ["truncated"], "rejected",
    )  # fmt: skip
    for _ in range(2):
        (house.folders.inbox / "z.parquet").write_text("not Parquet")
        house.commit()
    assert house.one("SELECT count(*) FROM segments WHERE batch_id = 'z.parquet'") == 1

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.config.folders import Folders
from storage.inbox import segment
from storage.inbox.segment import Provenance, SegmentRefused
from tests.conftest import NOW

SAMPLE = {"server": ["a"], "ts": pa.array([NOW], pa.timestamp("us", "UTC")), "mem_used_pct": [1.5]}


def provenance(**fields: Any) -> Provenance:
    return Provenance(table="metrics", function="test", created_at=NOW, **fields)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def test_a_segment_carries_its_provenance_and_cursor(folders: Folders) -> None:
    sent = provenance(cursor="42", code_hash="abc", window_key="w")
    path = segment.write(folders, pa.table(SAMPLE), sent)
    assert segment.provenance_of(path) == sent


def test_only_complete_segments_have_the_final_name(folders: Folders) -> None:
    segment.write(folders, pa.table(SAMPLE), provenance())
    assert [p.suffix for p in folders.inbox.iterdir()] == [".parquet"]


def test_a_wrong_column_is_refused_before_anything_is_written(folders: Folders) -> None:
    with pytest.raises(ValueError, match="no column memory"):
        segment.write(folders, pa.table(SAMPLE | {"memory": [1]}), provenance())
    assert list(folders.inbox.iterdir()) == []


def test_the_newest_cursor_in_the_inbox_is_found(folders: Folders) -> None:
    for cursor in ("1", "2"):
        later = Provenance(
            table="metrics", function="test", created_at=NOW.replace(second=int(cursor)),
            cursor=cursor,
        )  # fmt: skip
        segment.write(folders, pa.table(SAMPLE), later)
    assert segment.newest_cursor(folders, "test", NOW) == "2"
    assert segment.newest_cursor(folders, "other", NOW) is None
    assert segment.newest_cursor(folders, "test", NOW.replace(second=1)) == "1"
    assert segment.newest_cursor(folders, "test", NOW.replace(second=0)) == "2"


def test_a_segment_of_another_version_is_refused_by_its_version() -> None:
    with pytest.raises(SegmentRefused, match="version 99"):
        Provenance.decode(b'{"version": 99}')


def test_metadata_that_is_no_json_is_refused() -> None:
    with pytest.raises(SegmentRefused, match="cannot be read"):
        Provenance.decode(b"{")


@pytest.mark.parametrize("share", range(0, 100, 9))
def test_each_flipped_bit_in_a_segment_is_refused_in_words(folders: Folders, share: int) -> None:
    path = segment.write(folders, pa.table(SAMPLE), provenance(cursor="42"))
    content = bytearray(path.read_bytes())
    content[len(content) * share // 100] ^= 1 << share % 8
    path.write_bytes(content)
    with pytest.raises(SegmentRefused, match="does not have the hash that ends its name"):
        segment.open_segment(path)
    assert segment.newest_cursor(folders, "test", NOW) is None


def test_a_segment_that_someone_else_has_named_needs_no_hash(folders: Folders) -> None:
    path = segment.write(folders, pa.table(SAMPLE), provenance())
    path = path.rename(path.with_name("mine.parquet"))
    assert segment.open_segment(path)[1].read().num_rows == 1


def test_a_segment_that_cannot_be_read_is_refused_with_the_reason(folders: Folders) -> None:
    (folders.inbox / "x.parquet").mkdir()
    with pytest.raises(SegmentRefused, match="cannot be read: Is a directory"):
        segment.open_segment(folders.inbox / "x.parquet")

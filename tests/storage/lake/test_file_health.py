from pathlib import Path

import msgspec
import pytest

from storage.config.folders import Folders
from storage.lake.file_health import DamageRecord, ScrubState, damage_records, read_scrub_state
from tests.conftest import NOW

RECORD = DamageRecord(
    "main/metrics/a.parquet", "metrics", 1200, "is missing", "server x", NOW, False
)


def test_records_are_sentences_and_a_damaged_record_hides_no_other(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    folders.damaged.mkdir()
    (folders.damaged / "a.parquet.json").write_bytes(msgspec.json.encode(RECORD))
    (folders.damaged / "b.parquet.json").write_text("{")
    assert damage_records(folders) == [RECORD]
    assert str(RECORD) == "lake/main/metrics/a.parquet is missing: 1,200 rows of metrics (server x)"


@pytest.mark.parametrize("content", [None, b"", b'{"began": 5}'])
def test_without_a_valid_state_none_is_known(tmp_path: Path, content: bytes | None) -> None:
    folders = Folders.at(tmp_path)
    if content is not None:
        folders.scrub.write_bytes(content)
    assert read_scrub_state(folders) is None


def test_the_state_of_the_scrub_is_read(tmp_path: Path) -> None:
    state = ScrubState(NOW, "main/a.parquet", files=3, total_bytes=9)
    Folders.at(tmp_path).scrub.write_bytes(msgspec.json.encode(state))
    assert read_scrub_state(Folders.at(tmp_path)) == state

from pathlib import Path

import pyarrow.parquet as pq

from functions.trainer.training_event import main
from storage.config.folders import Folders


def test_an_event_is_a_segment_of_one_row(tmp_path: Path) -> None:
    main([str(tmp_path), "t1", "failed", "it was killed"])
    (path,) = Folders.at(tmp_path).inbox.glob("*.parquet")
    (row,) = pq.read_table(path).to_pylist()
    assert (row["training"], row["event"], row["reason"]) == ("t1", "failed", "it was killed")
    assert row["ts"] is not None

"""What became of imported rows: how many the running writer found new, and how many repeated."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from storage.config.folders import Folders
from storage.platform.process import exclusive_lock
from storage.query.reader import Reader

__all__ = ["ImportOutcome", "import_outcome"]

WAIT_S = 10.0
CHECK_EVERY_S = 0.1
OUTCOME = """
SELECT
    coalesce(sum(rows_committed), 0)::BIGINT AS new,
    coalesce(sum(values_repeated), 0)::BIGINT AS repeated,
    coalesce(sum(rows_refused), 0)::BIGINT AS refused,
    coalesce(list_distinct(flatten(list(refusals))), []) AS reasons
FROM segments
WHERE table_name = 'metrics' AND run_id IN $run_ids
"""


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """Rows that are new or brought a missing value, and values that the lake had already.

    `refused` and `reasons` are those of the import and of the writer together.
    """

    new: int
    repeated: int
    refused: int = 0
    reasons: Sequence[str] = ()


def import_outcome(folders: Folders, run_ids: Sequence[str]) -> ImportOutcome | None:
    """Wait until the writer has committed the segments of these runs of `import`.

    None if no writer runs here, or if it takes more than 10 s.
    """
    give_up = time.monotonic() + WAIT_S
    while any(folders.inbox.glob("*-import-*.parquet")):
        if not _writer_runs(folders) or time.monotonic() > give_up:
            return None
        time.sleep(CHECK_EVERY_S)
    with closing(Reader.open(folders.data)) as reader:
        return ImportOutcome(**reader.query(OUTCOME, run_ids=list(run_ids)).to_pylist()[0])


def _writer_runs(folders: Folders) -> bool:
    lock = exclusive_lock(folders.data / "writer.lock")
    if lock is None:
        return True
    lock.close()
    return False

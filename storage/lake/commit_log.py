"""Rows of the commit log, the table `segments`: one for each segment committed or rejected."""

from datetime import datetime

import pyarrow.compute as pc

from storage.inbox.commit_batch import RejectedSegment
from storage.inbox.validation import ValidationResult
from storage.lake.cell_merge import SegmentOutcome
from storage.model.schema import table
from storage.platform.error_text import bounded, bounded_list

__all__ = ["committed_row", "rejected_row"]


def committed_row(
    segment: ValidationResult, outcome: SegmentOutcome, ts: datetime
) -> dict[str, object]:
    """The row of a segment that was committed at `ts`.

    Its refusals are the function's own and those of validation, each list bounded, and a value that
    differs from the one that came before.
    """
    provenance = segment.provenance
    span = pc.min_max(segment.rows[table(provenance.table).time]).as_py()
    return {
        "batch_id": provenance.batch_id,
        "table_name": provenance.table,
        "function": provenance.function,
        "run_id": provenance.run_id,
        "code_hash": provenance.code_hash,
        "window_key": provenance.window_key,
        "cursor": provenance.cursor,
        "input_snapshot": provenance.input_snapshot,
        "model": provenance.model,
        "created_at": provenance.created_at,
        "ts": ts,
        "first_ts": span["min"],
        "last_ts": span["max"],
        "rows_in": segment.rows_in,
        "rows_committed": outcome.new,
        "rows_refused": provenance.refused + segment.refused,
        "values_clamped": provenance.clamped + segment.clamped,
        "values_repeated": outcome.repeated,
        "refusals": [
            *bounded_list(provenance.reasons),
            *bounded_list(segment.reasons),
            *([bounded(outcome.conflict.sentence())] if outcome.conflict else []),
        ],
        "outcome": "committed",
    }


def rejected_row(rejected: RejectedSegment, ts: datetime) -> dict[str, object]:
    """The row of a file that was rejected whole at `ts`; its file name stands as the batch."""
    return {
        "batch_id": rejected.path.name,
        "ts": ts,
        "rows_committed": 0,
        "refusals": [rejected.reason],
        "outcome": "rejected",
    }

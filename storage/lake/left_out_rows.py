"""Rows of Parquet files that are not in the lake: masked, or of a server that was erased.

Three temporary tables: `masked` (file_name, pos) are rows that a catalog snapshot masks,
`masked_once` rows that any mask on the disk names, also one of a transaction that was never
committed, and `erasures` (name, erased_at) the servers that were erased, by pseudonym.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from storage.lake.lake_files import CatalogEvidence, DataFile, LakeFiles

__all__ = ["load_left_out_rows"]

TABLES = """
CREATE OR REPLACE TEMP TABLE masked (file_name VARCHAR, pos BIGINT);
CREATE OR REPLACE TEMP TABLE masked_once (file_name VARCHAR, pos BIGINT);
CREATE OR REPLACE TEMP TABLE erasures (name VARCHAR, erased_at TIMESTAMPTZ);
"""
MASK = """
INSERT INTO {table} SELECT DISTINCT parse_filename(file_path), pos
FROM read_parquet($paths, union_by_name = true)
"""
# An erasure writes its row of `deletions` when the rows are deleted. So files begun before that
# file are older than the erasure. Once it was merged, the commit log says when that was.
ERASURES = """
CREATE OR REPLACE TEMP TABLE requests AS
SELECT
    server AS name, ts,
    min(epoch_ms(files.created_ms)::TIMESTAMPTZ) FILTER (NOT files.merged) AS written_at
FROM {deletions} AS rows
JOIN (VALUES {files}) AS files (file_name, created_ms, merged)
    ON parse_filename(rows.filename) = files.file_name
GROUP BY ALL
"""
LOGGED = """
UPDATE requests SET written_at = (
    SELECT max(log.ts) FROM {segments} AS log
    WHERE log.table_name = 'deletions' AND requests.ts BETWEEN log.first_ts AND log.last_ts
) WHERE written_at IS NULL
"""
# The log names the deletion before it happens: one that was cut off in between happens again.
CUT_OFF = """
INSERT INTO masked SELECT parse_filename(filename), file_row_number FROM {segments} AS log
WHERE table_name = 'deletions' AND outcome = 'committed'
AND NOT EXISTS (FROM requests WHERE requests.ts BETWEEN log.first_ts AND log.last_ts)
"""


def load_left_out_rows(
    connection: duckdb.DuckDBPyConnection,
    files: Path,
    lake: LakeFiles,
    evidence: CatalogEvidence | None,
) -> None:
    """Create the temporary tables from the masks, `deletions` and `segments` below `files`."""
    connection.execute(TABLES)
    if evidence is not None:
        _load_masks(connection, "masked", files, list(evidence.masks.values()))
    deletions = [f for f in lake.data if f.table == "deletions"]
    segments = [f for f in lake.data if f.table == "segments"]
    if deletions:
        _load_masks(connection, "masked_once", files, lake.masks)
        _load_erasures(connection, files, deletions, segments)
    elif segments:
        connection.execute("CREATE OR REPLACE TEMP TABLE requests (ts TIMESTAMPTZ)")
    if segments:
        connection.execute(CUT_OFF.format(segments=_read(files, segments)))


def _load_masks(
    connection: duckdb.DuckDBPyConnection, table: str, files: Path, masks: Sequence[str]
) -> None:
    for mask in masks:
        # One that was removed or is torn: what replaced its rows is newer, and counts.
        with suppress(duckdb.IOException, duckdb.InvalidInputException):
            connection.execute(MASK.format(table=table), {"paths": [str(files / mask)]})
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT DISTINCT * FROM {table}")


def _load_erasures(
    connection: duckdb.DuckDBPyConnection,
    files: Path,
    deletions: Sequence[DataFile],
    segments: Sequence[DataFile],
) -> None:
    values = ", ".join(
        f"('{f.name}', {round(1000 * f.created.timestamp())}, {f.merged})" for f in deletions
    )
    connection.execute(ERASURES.format(deletions=_read(files, deletions), files=values))
    if segments:
        connection.execute(LOGGED.format(segments=_read(files, segments)))
    connection.execute(
        "INSERT INTO erasures SELECT name, max(coalesce(written_at, ts)) FROM requests GROUP BY 1"
    )


def _read(files: Path, group: Sequence[DataFile]) -> str:
    paths = ", ".join("'" + str(files / f.path).replace("'", "''") + "'" for f in group)
    return (
        f"read_parquet([{paths}], union_by_name = true, filename = true, file_row_number = true, "
        "hive_partitioning = false)"
    )

"""`hoursight rebuild`: prints progress, each table's rows before and after, and what is lost."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.cli.backup_restore import percent_steps
from storage.config.folders import Folders
from storage.lake.catalog import lake_location
from storage.lake.catalog_builder import TableCount
from storage.lake.lake_contents import contents_of
from storage.lake.rebuild import RebuildReport, rebuild

__all__ = ["rebuild_catalog"]

Print = Callable[[str], None]


def rebuild_catalog(
    data: Path, snapshot: Path | None, files_only: bool, force: bool, say: Print
) -> None:
    """Rebuild the catalog of a data folder. Raises RebuildRefused, WriterRunning, LakeMissing."""
    began = time.monotonic()
    say(f"Before: {contents_of(lake_location(Folders.at(data)).files)}")
    report = rebuild(
        data, snapshot, files_only=files_only, force=force, on_progress=percent_steps(say)
    )  # fmt: skip
    for line in _lines(report):
        say(line)
    say(f"The catalog was rebuilt in {time.monotonic() - began:.1f} s. Every table has the counted")
    say(f"rows, and no key twice. Start it with: hoursight up --data {data}")


def _lines(report: RebuildReport) -> Iterator[str]:
    source = f"with {report.snapshot}" if report.snapshot else "without a catalog snapshot"
    yield f"Read {source}:"
    for count in report.tables:
        if count.files or count.rows_in_snapshot:
            yield _table_line(count)
    yield from _losses(report)
    if report.put_aside:
        yield f"The old catalog is kept as {report.put_aside}. Remove it when all is well."


def _table_line(count: TableCount) -> str:
    line = f"{count.table:>14}: {count.rows_in_files:,} rows in {count.files:,} files"
    if count.rows_replaced:
        line += f", {count.rows_replaced:,} repeated in a newer file"
    if count.rows_erased:
        line += f", {count.rows_erased:,} deleted"
    line += f" → {count.rows:,} rows"
    if count.rows_in_snapshot is None:
        return line
    return f"{line} ({count.rows_in_snapshot:,} in the snapshot)"


def _losses(report: RebuildReport) -> Iterator[str]:
    for path, reason in report.unreadable:
        yield f"NOT READ {path}: {reason}. It stays where it is."
    for path in report.unknown:
        yield f"NOT TAKEN {path}: its table is not known. It stays where it is."
    if report.missing_files:
        yield (
            f"{report.missing_files:,} files of the snapshot with {report.missing_rows:,} rows are "
            "not there. Files that replaced them are newer; compare the rows above."
        )
    for table, day, rows in report.unaccounted:
        yield (
            f"The commit log has {rows:,} rows of {table} of {day}, and no file has any: deleted "
            "with their server, or lost."
        )

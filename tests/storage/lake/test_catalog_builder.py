"""What the builder writes into a new catalog, beside what tests of a rebuild show."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from storage.config.folders import Folders
from storage.lake.attach import attach_new
from storage.lake.catalog import lake_location
from storage.lake.catalog_builder import METADATA, CatalogBuilder
from storage.lake.lake_files import read_lake_files
from storage.model.schema import STOCK
from tests.conftest import NOW
from tests.storage.lake.parquet_lakes import write_rows

EVENT = {"process": "p", "ts": NOW, "event": "started"}


def test_files_with_other_column_numbers_are_written_again_and_scheduled_for_removal(
    tmp_path: Path,
) -> None:
    folders = Folders.at(tmp_path).create()
    old = write_rows(folders.lake, "processes", NOW, [EVENT])
    write_rows(folders.lake, "processes", NOW + timedelta(minutes=1), [EVENT | {"pid": 1}])
    write_rows(folders.lake, "processes", NOW + timedelta(minutes=2), [EVENT], merged=True)
    lake = read_lake_files(folders.lake)
    with closing(attach_new(lake_location(folders))) as connection:
        builder = CatalogBuilder(connection, folders.lake, STOCK, lake, None)
        counts = {c.table: c for c in builder.build(lambda _done, _total: None)}
        builder.finish("the same id")
        scheduled = connection.execute(
            f"SELECT path FROM {METADATA}.ducklake_files_scheduled_for_deletion"
        ).fetchall()
        ids = connection.execute(f"SELECT schema_uuid FROM {METADATA}.ducklake_schema").fetchall()
        rows = connection.execute("SELECT pid FROM processes ORDER BY pid").fetchall()
    assert ("main/processes/" + old,) in scheduled
    assert ids == [("the same id",)]
    assert rows == [(1,), (None,)]
    assert (counts["processes"].rows_replaced, counts["processes"].rows) == (1, 2)

"""Layout of the lake's files: the order of their rows, and how many of them form a row group."""

import duckdb

from storage.model.schema import Schema
from storage.model.table_definition import ROWS_PER_GROUP

__all__ = ["lay_out"]

_ORDERS = """
SELECT table_name, list(trim(expression, '"') ORDER BY sort_key_index)
FROM __ducklake_metadata_lake.ducklake_table AS tables
JOIN __ducklake_metadata_lake.ducklake_sort_info AS sorts USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_sort_expression AS expressions USING (sort_id, table_id)
WHERE tables.end_snapshot IS NULL AND sorts.end_snapshot IS NULL
GROUP BY table_name
"""
_GROUPS = """
SELECT split_part(scope_entry, '.', -1), value
FROM ducklake_options('lake')
WHERE option_name = 'parquet_row_group_size' AND scope = 'TABLE'
"""


def lay_out(connection: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Let the files that are written from now on have the layout of `schema`."""
    orders = dict(connection.execute(_ORDERS).fetchall())
    groups = dict(connection.execute(_GROUPS).fetchall())
    for table in schema.tables:
        if orders.get(table.name, list(table.order)) != list(table.order):  # a new one has it
            connection.execute(f"ALTER TABLE {table.name} SET SORTED BY ({', '.join(table.order)})")
        if int(groups.get(table.name, ROWS_PER_GROUP)) != table.rows_per_group:
            connection.execute(
                "CALL lake.set_option('parquet_row_group_size', $rows, table_name => $name)",
                {"rows": str(table.rows_per_group), "name": table.name},
            )

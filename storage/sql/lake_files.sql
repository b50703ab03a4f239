-- The files of the lake as of now, each with its table and what the catalog knows of its rows.
WITH live AS (
    SELECT
        data_file_id, table_id, path, file_size_bytes, record_count AS row_count,
        FALSE AS is_mask
    FROM __ducklake_metadata_lake.ducklake_data_file
    WHERE end_snapshot IS NULL
    UNION ALL
    SELECT data_file_id, table_id, path, file_size_bytes, delete_count, TRUE
    FROM __ducklake_metadata_lake.ducklake_delete_file
    WHERE end_snapshot IS NULL
)

SELECT
    live.data_file_id, live.table_id, tables.table_name,
    schemas.path || tables.path || live.path AS path, live.file_size_bytes, live.row_count,
    live.is_mask
FROM live
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)
WHERE tables.end_snapshot IS NULL AND schemas.end_snapshot IS NULL
ORDER BY path

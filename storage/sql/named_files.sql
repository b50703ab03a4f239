-- The Parquet files that the catalog names, relative to the lake's folder.
SELECT schemas.path || tables.path || files.path AS path
FROM (
    SELECT table_id, path FROM __ducklake_metadata_lake.ducklake_data_file
    UNION ALL
    SELECT table_id, path FROM __ducklake_metadata_lake.ducklake_delete_file
) AS files
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_schema AS schemas USING (schema_id)

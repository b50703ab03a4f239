-- The first and last value of columns of a data file, as the catalog has them.
SELECT columns.column_name, stats.min_value, stats.max_value
FROM __ducklake_metadata_lake.ducklake_file_column_stats AS stats
JOIN __ducklake_metadata_lake.ducklake_column AS columns USING (table_id, column_id)
WHERE stats.data_file_id = $id AND columns.end_snapshot IS NULL AND columns.parent_column IS NULL

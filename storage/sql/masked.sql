-- Number of files of table $name that have masked rows.
SELECT count(*)
FROM __ducklake_metadata_lake.ducklake_data_file AS file
JOIN __ducklake_metadata_lake.ducklake_table AS tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_delete_file AS mask USING (data_file_id)
WHERE
    table_name = $name AND tables.end_snapshot IS NULL
    AND file.end_snapshot IS NULL AND mask.end_snapshot IS NULL

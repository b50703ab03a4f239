-- How many files of table $name from before the last deletion of a server have masked rows.
WITH tables AS (
    SELECT table_id, table_name FROM __ducklake_metadata_lake.ducklake_table
    WHERE end_snapshot IS NULL
),
last AS (
    SELECT max(file.begin_snapshot) AS deletion
    FROM __ducklake_metadata_lake.ducklake_data_file AS file
    JOIN tables USING (table_id)
    WHERE table_name = 'deletions'
)
SELECT count(*)
FROM __ducklake_metadata_lake.ducklake_data_file AS file
JOIN tables USING (table_id)
JOIN __ducklake_metadata_lake.ducklake_delete_file AS mask USING (data_file_id)
WHERE
    table_name = $name AND file.end_snapshot IS NULL AND mask.end_snapshot IS NULL
    AND file.begin_snapshot <= (SELECT deletion FROM last)

-- Number of files of table $name, older than the last erasure of a server, that have masked rows.
WITH tables AS (
    SELECT table_id, table_name FROM __ducklake_metadata_lake.ducklake_table
    WHERE end_snapshot IS NULL
),
last AS (
    SELECT max(file.begin_snapshot) AS erasure
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
    AND file.begin_snapshot <= (SELECT erasure FROM last)

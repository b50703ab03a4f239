-- Number and size of the lake's files by table.
SELECT
    table_name, file_count + delete_file_count AS files,
    file_size_bytes + delete_file_size_bytes AS bytes
FROM ducklake_table_info('lake')

-- The Parquet files that were replaced and are to be deleted, relative to the lake's folder.
SELECT path FROM __ducklake_metadata_lake.ducklake_files_scheduled_for_deletion

-- Memory of this process's queries and of their cache of files [bytes], and its limit.
SELECT sum(memory_usage_bytes) AS used, parse_formatted_bytes(current_setting('memory_limit')) AS most
FROM duckdb_memory()

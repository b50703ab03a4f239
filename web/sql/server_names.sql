-- The names of all servers known at $now.
SELECT server FROM {servers} AS servers ORDER BY server

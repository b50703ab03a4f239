-- The name of every server that was known at $now.
SELECT server FROM {servers} AS servers ORDER BY server

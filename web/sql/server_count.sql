-- How many servers were known at $now.
SELECT count(*) AS servers FROM {servers} AS servers

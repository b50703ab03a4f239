-- Every server with its newest facts, as of $now.
SELECT * FROM {servers} AS servers

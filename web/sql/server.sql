-- One server's newest facts as of $now, and when it was last deleted, by its pseudonym.
SELECT servers.*, (SELECT max(ts) FROM deletions WHERE server = $erased) AS deleted_at
FROM {servers} AS servers
WHERE server = $server

-- When a server was last deleted, by its pseudonym.
SELECT max(ts) AS ts FROM deletions WHERE server = $server

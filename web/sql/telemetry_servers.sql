-- Number of known servers.
SELECT count(DISTINCT server) AS servers FROM server_facts

-- How many servers are known.
SELECT count(DISTINCT server) AS servers FROM server_facts

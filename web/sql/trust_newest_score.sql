-- The newest hour that is scored, as of $now.
SELECT max(ts) AS newest FROM scores WHERE ts > $now - INTERVAL 7 DAY AND ts <= $now

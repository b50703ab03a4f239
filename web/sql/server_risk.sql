-- One server's newest risk as of $now.
SELECT * EXCLUDE (server)
FROM risks
WHERE server = $server AND issued_at > $now - INTERVAL 8 DAY AND issued_at <= $now
ORDER BY issued_at DESC
LIMIT 1

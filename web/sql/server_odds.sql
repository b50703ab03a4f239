-- One server's newest odds of each metric as of $now, the likeliest breach first.
SELECT * EXCLUDE (server)
FROM odds
WHERE server = $server AND issued_at > $now - INTERVAL 30 MINUTE AND issued_at <= $now AND replayed IS NOT TRUE
QUALIFY row_number() OVER (PARTITION BY metric ORDER BY issued_at DESC) = 1
ORDER BY p_480m DESC, metric

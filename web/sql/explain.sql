-- One server's newest odds as of $now: a row per metric, with what raises them.
SELECT * EXCLUDE (server, replayed)
FROM odds
WHERE
    server = $server AND replayed IS NOT TRUE
    AND issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
QUALIFY row_number() OVER (PARTITION BY metric ORDER BY issued_at DESC) = 1
ORDER BY p_480m DESC NULLS LAST, metric

-- When the newest sample of any server was measured, as of $now.
SELECT coalesce(
    (SELECT max(ts) FROM metrics WHERE ts > $now - INTERVAL 1 HOUR AND ts <= $now),
    (SELECT max(ts) FROM metrics_5m WHERE ts > $now - INTERVAL 8 DAY AND ts <= $now - INTERVAL 5 MINUTE)
) AS ts

-- One server's newest 5-minute step of 8 days, and how many of the last 24 h it has.
SELECT max(ts) AS last_step, CAST(count(*) FILTER (ts >= $now - INTERVAL 24 HOUR) AS INTEGER) AS context_steps
FROM metrics_5m
WHERE server = $server AND ts > $now - INTERVAL 8 DAY AND ts <= $now - INTERVAL 5 MINUTE

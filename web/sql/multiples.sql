-- One metric of every server: the newest 5-minute mean within the hour before $now, and that of an
-- hour earlier.
SELECT
    server, arg_max({metric}_mean, ts) FILTER (ts > $now - INTERVAL 1 HOUR) AS present,
    arg_max({metric}_mean, ts) FILTER (ts <= $now - INTERVAL 65 MINUTE) AS earlier
FROM metrics_5m
WHERE ts > $now - INTERVAL 2 HOUR AND ts <= $now - INTERVAL 5 MINUTE
GROUP BY server

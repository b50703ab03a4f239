-- 5-minute means of one server from $start to $until, as far as they were complete at $now.
SELECT ts, columns('_mean$')
FROM metrics_5m
WHERE server = $server AND ts >= $start AND ts <= $until AND ts <= $now - INTERVAL 5 MINUTE
ORDER BY ts

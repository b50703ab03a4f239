-- One server's 5-minute means from $start to $stop, as far as they were complete at $now.
SELECT ts, columns('_mean$')
FROM metrics_5m
WHERE server = $server AND ts >= $start AND ts < $stop AND ts <= $now - INTERVAL 5 MINUTE
ORDER BY ts

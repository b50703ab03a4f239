-- One server's 5-minute means since $start.
SELECT ts, columns('_mean$')
FROM metrics_5m
WHERE server = $server AND ts >= $start
ORDER BY ts

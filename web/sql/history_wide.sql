-- One server's means from $start to $stop in steps of $seconds, with the least and the largest 5-minute mean of each step.
SELECT
    time_bucket(to_seconds($seconds), ts, $start) AS ts,
    avg(columns('(.*)_mean$')) AS '\1_mean',
    min(columns('(.*)_mean$')) AS '\1_low',
    max(columns('(.*)_mean$')) AS '\1_high'
FROM metrics_5m
WHERE server = $server AND ts >= $start AND ts < $stop AND ts <= $now - INTERVAL 5 MINUTE
GROUP BY 1
ORDER BY 1

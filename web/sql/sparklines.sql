-- Half-hour means of metrics of some servers: the complete steps of the 24 h from $start on.
SELECT
    server,
    CAST(floor((epoch(ts) - epoch($start)) / 1800) AS INTEGER) AS slot,
    {means}
FROM metrics_5m
WHERE ts >= $start AND ts <= $start + INTERVAL 24 HOUR - INTERVAL 5 MINUTE
    AND server IN (SELECT unnest($servers))
GROUP BY ALL

-- Half-hour means of CPU idle and memory used: the complete steps of the 24 h from $start on.
SELECT
    server,
    CAST(floor((epoch(ts) - epoch($start)) / 1800) AS INTEGER) AS slot,
    avg(cpu_idle_pct_mean) AS cpu_idle_pct,
    avg(mem_used_pct_mean) AS mem_used_pct
FROM metrics_5m
WHERE ts >= $start AND ts <= $start + INTERVAL 24 HOUR - INTERVAL 5 MINUTE
GROUP BY ALL

-- The forecast of one metric that was the newest at $opened: a row for each 5-minute step.
SELECT issued_at, ts, p02, p10, p25, p50, p75, p90, p98
FROM {forecast_points} AS points
WHERE server = $server AND metric = $metric
    AND issued_at > $opened - INTERVAL 1 HOUR AND issued_at <= $opened
QUALIFY issued_at = max(issued_at) OVER ()
ORDER BY ts

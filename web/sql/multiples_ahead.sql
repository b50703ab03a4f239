-- The median of the newest forecast of one metric 8 hours ahead, of every server, as of $now.
SELECT server, arg_max(p50, issued_at) AS ahead
FROM {forecast_points} AS forecast_points
WHERE metric = $metric AND lead_minutes = 480
    AND issued_at > $now - INTERVAL 1 HOUR AND issued_at <= $now
GROUP BY server

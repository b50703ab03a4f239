-- What was forecast of one metric for the time from $start to $stop: each step's newest forecast.
SELECT server, ts, issued_at, model, p02, p10, p25, p50, p75, p90, p98
FROM {forecast_points} AS forecast_points
WHERE metric = $metric AND (len($servers) = 0 OR list_contains($servers, server))
    AND issued_at > $start - INTERVAL 8 HOUR AND issued_at <= $stop AND ts > $start AND ts <= $stop
QUALIFY row_number() OVER (PARTITION BY server, ts ORDER BY issued_at DESC) = 1
ORDER BY server, ts

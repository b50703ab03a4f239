-- The forecasts of one metric that lie ahead of $now, from the newest issue of each server.
SELECT server, ts, issued_at, model, p02, p10, p25, p50, p75, p90, p98
FROM {forecast_latest} AS forecast_latest
WHERE metric = $metric AND (len($servers) = 0 OR list_contains($servers, server))
ORDER BY server, ts

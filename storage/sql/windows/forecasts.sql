-- The newest forecast of $metrics of each server that was issued from $start to $stop.
SELECT server, metric, issued_at, state, {columns}
FROM forecasts
WHERE issued_at >= $start AND issued_at <= $stop AND list_contains($metrics, metric)
QUALIFY issued_at = max(issued_at) OVER (PARTITION BY server)
ORDER BY server

-- Half-hourly forecast medians of CPU idle and memory used, issued at $issued.
SELECT server, metric, list(p50 ORDER BY ts) AS medians
FROM {forecast_points} AS forecast_points
WHERE issued_at = $issued AND metric IN ('cpu_idle_pct', 'mem_used_pct') AND lead_minutes % 30 = 0
GROUP BY server, metric

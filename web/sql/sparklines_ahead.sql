-- Half-hourly forecast medians of CPU idle and memory used, issued at $issued.
SELECT server, metric, p50[6:96:6] AS medians
FROM forecasts
WHERE issued_at = $issued AND metric IN ('cpu_idle_pct', 'mem_used_pct')
    AND state != 'abstained' AND p50 IS NOT NULL

-- Half-hourly forecast medians of metrics of some servers, issued at $issued.
SELECT server, metric, list(p50 ORDER BY ts) AS medians
FROM {forecast_points} AS forecast_points
WHERE issued_at = $issued AND lead_minutes % 30 = 0
    AND metric IN (SELECT unnest($metrics)) AND server IN (SELECT unnest($servers))
GROUP BY server, metric

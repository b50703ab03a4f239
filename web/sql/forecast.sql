-- One server's forecast issued at $issued: a row per metric, its served quantiles as lists.
WITH served AS (
    SELECT
        metric,
        list(p02 ORDER BY ts) AS p02, list(p10 ORDER BY ts) AS p10, list(p25 ORDER BY ts) AS p25,
        list(p50 ORDER BY ts) AS p50, list(p75 ORDER BY ts) AS p75, list(p90 ORDER BY ts) AS p90,
        list(p98 ORDER BY ts) AS p98
    FROM {forecast_points} AS forecast_points
    WHERE server = $server AND issued_at = $issued
    GROUP BY metric
)
SELECT forecasts.* EXCLUDE (p02, p10, p25, p50, p75, p90, p98), served.* EXCLUDE (metric)
FROM forecasts
LEFT JOIN served USING (metric)
WHERE server = $server AND issued_at = $issued

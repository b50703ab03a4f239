-- One server's measured means from $start to $now and its forecast's quantiles, a row per metric and time.
SELECT
    metric, ts, 'measured' AS kind, value, CAST(NULL AS TIMESTAMPTZ) AS issued_at,
    CAST(NULL AS FLOAT) AS p02, CAST(NULL AS FLOAT) AS p10, CAST(NULL AS FLOAT) AS p25,
    CAST(NULL AS FLOAT) AS p75, CAST(NULL AS FLOAT) AS p90, CAST(NULL AS FLOAT) AS p98
FROM (
    UNPIVOT (
        SELECT ts, columns('(.*)_mean$') AS '\1'
        FROM metrics_5m
        WHERE server = $server AND ts >= $start AND ts <= $now - INTERVAL 5 MINUTE
    ) ON columns(* EXCLUDE ts) INTO NAME metric VALUE value
)
UNION ALL
SELECT metric, ts, 'forecast', p50, issued_at, p02, p10, p25, p75, p90, p98
FROM {forecast_latest} AS forecast_latest
WHERE server = $server
ORDER BY metric, ts

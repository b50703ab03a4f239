-- One server's newest forecast as of $now: a row per metric, its future quantiles as lists.
SELECT
    metric, any_value(issued_at) AS issued_at, any_value(made_at) AS made_at,
    any_value(model) AS model, any_value(state) AS state,
    list(ts ORDER BY ts) AS ts,
    list(p02 ORDER BY ts) AS p02, list(p10 ORDER BY ts) AS p10, list(p25 ORDER BY ts) AS p25,
    list(p50 ORDER BY ts) AS p50, list(p75 ORDER BY ts) AS p75, list(p90 ORDER BY ts) AS p90,
    list(p98 ORDER BY ts) AS p98
FROM {forecast_latest} AS forecast_latest
WHERE server = $server
GROUP BY metric
ORDER BY metric

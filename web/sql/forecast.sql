-- One server's forecast issued at $issued: a row per metric, its quantiles as lists.
SELECT *
FROM forecasts
WHERE server = $server AND issued_at = $issued

-- One server's newest forecast: a row a metric, its quantiles as lists.
SELECT *
FROM forecasts
WHERE server = $server AND issued_at = $issued

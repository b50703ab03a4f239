-- One server's newest forecast as of $now, and its newest that was issued by $said: a row per metric.
SELECT *
FROM forecasts
WHERE server = $server AND issued_at > $now - INTERVAL 1 DAY AND issued_at <= $now
QUALIFY issued_at = max(issued_at) OVER () OR issued_at = max(issued_at) FILTER (issued_at <= $said) OVER ()

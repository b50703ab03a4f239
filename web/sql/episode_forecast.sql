-- When the forecast was issued that was the newest for one metric of a server at $opened.
SELECT max(issued_at) AS issued
FROM forecasts
WHERE server = $server AND metric = $metric
    AND issued_at > $opened - INTERVAL 1 HOUR AND issued_at <= $opened

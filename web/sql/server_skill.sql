-- Errors of the forecasts of one server by $model in the 7 days before $now, and of naive ones, by metric.
SELECT
    metric, count(DISTINCT ts) FILTER (targets > 0) AS hours, sum(loss) AS loss,
    sum(error_naive) AS naive, sum(error_seasonal) AS seasonal
FROM scores
WHERE server = $server AND model = $model AND ts > $now - INTERVAL 7 DAY AND ts <= $now
GROUP BY metric
ORDER BY metric

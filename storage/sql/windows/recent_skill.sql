-- Errors from $since to $now of servers from $first to $last: served, and of naive forecasts.
SELECT
    server, metric, count(DISTINCT ts) AS hours, sum(targets) AS targets, sum(loss) AS loss,
    sum(error_naive) AS last, sum(error_seasonal) AS seasonal, avg(scale) AS scale
FROM scores
WHERE model = $model AND ts >= $since AND ts < $now AND server >= $first AND server <= $last
GROUP BY server, metric

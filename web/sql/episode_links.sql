-- What the trouble of one server followed, and what followed it, from $since to $now.
SELECT
    upstream, upstream_metric, downstream, downstream_metric, arg_max(lag_minutes, ts) AS lag_minutes,
    arg_max(correlation, ts) AS correlation, max(ts) AS ts
FROM cascade_links
WHERE ts >= $since AND ts <= $now AND (upstream = $server OR downstream = $server)
GROUP BY upstream, upstream_metric, downstream, downstream_metric
ORDER BY correlation DESC
LIMIT 10

-- The 288 steps that end before $stop, for every server with at least one of them.
SELECT server, ts, columns('_mean$')
FROM metrics_5m
WHERE ts >= $start AND ts < $stop
ORDER BY server, ts

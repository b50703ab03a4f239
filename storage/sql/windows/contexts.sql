-- The steps from $start to $stop of the servers from $first to $last, unordered.
SELECT server, ts, columns('_mean$')
FROM metrics_5m
WHERE ts >= $start AND ts < $stop AND server >= $first AND server <= $last

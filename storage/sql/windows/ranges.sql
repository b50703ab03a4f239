-- P1 and P99 of metrics from $start to $stop, of the servers from $from to $to.
SELECT server, {ranges}
FROM metrics_5m
WHERE ts >= $start AND ts < $stop AND server >= $from AND server <= $to
    AND minute(ts) % 30 = 0
GROUP BY server

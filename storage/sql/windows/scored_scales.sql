-- The scales with which series were scored from $start to $stop.
SELECT server, metric, any_value(scale) AS scale
FROM scores
WHERE ts >= $start AND ts < $stop AND server >= $from AND server <= $to
GROUP BY server, metric

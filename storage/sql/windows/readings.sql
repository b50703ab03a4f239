-- The last sample of each server, of those no older than $start.
SELECT *
FROM metrics
WHERE ts >= $start AND ts <= $stop
QUALIFY row_number() OVER (PARTITION BY server ORDER BY ts DESC) = 1
ORDER BY server

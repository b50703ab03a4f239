-- The servers of which the source $source has samples in the hour before $reached.
SELECT DISTINCT server
FROM metrics
WHERE source = $source AND ts > $reached - INTERVAL 1 HOUR AND ts <= $reached

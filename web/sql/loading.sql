-- The servers that the source $source has samples of in the hour before $reached.
SELECT DISTINCT server
FROM metrics
WHERE source = $source AND ts > $reached - INTERVAL 1 HOUR AND ts <= $reached

-- The newest 5-minute step that was rolled up before $until.
SELECT max(least(last_ts, $until)) AS ts
FROM segments
WHERE table_name = 'metrics_5m' AND rows_committed > 0 AND last_ts >= $until - INTERVAL 2 HOUR

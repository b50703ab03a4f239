-- Up to which commit all samples lie in steps that were complete at $until.
SELECT coalesce(
    min(ts) FILTER (last_ts >= $until) - INTERVAL 1 MICROSECOND,
    max(ts)
) AS cursor
FROM segments
WHERE table_name = 'metrics' AND rows_committed > 0 AND ts > $cursor

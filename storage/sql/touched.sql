-- Spans of 5-minute steps before $until with samples committed after $cursor, and the next cursor.
WITH fresh AS (
    SELECT ts, first_ts, last_ts
    FROM segments
    WHERE table_name = 'metrics' AND rows_committed > 0 AND ts > $cursor
),
reached AS (  -- the commit up to which all samples lie in steps that were complete at $until
    SELECT
        coalesce(
            min(ts) FILTER (last_ts >= $until) - INTERVAL 1 MICROSECOND,
            max(ts)
        ) AS cursor
    FROM fresh
)
SELECT DISTINCT
    time_bucket(INTERVAL 5 MINUTE, first_ts) AS start,
    least(time_bucket(INTERVAL 5 MINUTE, last_ts) + INTERVAL 5 MINUTE, $until) AS stop,
    cursor
FROM fresh, reached
WHERE first_ts < $until
ORDER BY start

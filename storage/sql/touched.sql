-- Spans of 5-minute steps before $until with samples committed after $cursor, and the next cursor.
WITH commits AS (
    SELECT ts, first_ts, last_ts
    FROM segments
    WHERE table_name = 'metrics' AND rows_committed > 0 AND ts > $cursor
),
reached AS (  -- the last commit whose samples all lie in steps that were complete at $until
    SELECT
        coalesce(
            min(ts) FILTER (last_ts >= $until) - INTERVAL 1 MICROSECOND,
            max(ts)
        ) AS cursor
    FROM commits
)
SELECT DISTINCT
    time_bucket(INTERVAL 5 MINUTE, first_ts) AS start,
    least(time_bucket(INTERVAL 5 MINUTE, last_ts) + INTERVAL 5 MINUTE, $until) AS stop,
    cursor
FROM commits, reached
WHERE first_ts < $until
ORDER BY start

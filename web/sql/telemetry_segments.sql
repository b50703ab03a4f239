-- Rows added to the segment log after row $seen, by writing function, table and outcome. The first
-- read, with $seen = -2, needs no commit times. Rows later than $latest are from a clock that was
-- ahead.
SELECT
    coalesce(function, '') AS function, coalesce(table_name, '') AS table_name, outcome,
    count(*) AS segments, list(DISTINCT ts) FILTER ($seen >= -1) AS commits,
    coalesce(sum(rows_committed), 0)::BIGINT AS rows_committed,
    coalesce(sum(rows_refused), 0)::BIGINT AS rows_refused,
    coalesce(sum(values_clamped), 0)::BIGINT AS values_clamped,
    coalesce(sum(values_repeated), 0)::BIGINT AS values_repeated,
    max(last_ts) FILTER (last_ts <= $latest) AS last_ts, max(rowid) AS seen
FROM segments
WHERE rowid > $seen AND ts > $oldest
GROUP BY ALL

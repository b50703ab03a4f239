-- What the ledger of segments got after row $seen: by writing function, table and outcome.
SELECT
    coalesce(function, '') AS function, coalesce(table_name, '') AS table_name, outcome,
    count(*) AS segments, list(DISTINCT ts) FILTER ($seen >= 0) AS commits,
    coalesce(sum(rows_committed), 0)::BIGINT AS rows_committed,
    coalesce(sum(rows_refused), 0)::BIGINT AS rows_refused,
    max(last_ts) AS last_ts, max(rowid) AS seen
FROM segments
WHERE rowid > $seen AND ts > $oldest
GROUP BY ALL

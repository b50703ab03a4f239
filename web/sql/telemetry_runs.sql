-- Rows added to the run log after row $seen, by function and outcome.
SELECT
    function, outcome, count(*) AS runs,
    coalesce(sum(duration_ms), 0) / 1000 AS duration_s, coalesce(sum(cpu_s), 0) AS cpu_s,
    max(rowid) AS seen
FROM runs
WHERE rowid > $seen AND ts > $oldest
GROUP BY ALL

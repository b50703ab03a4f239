-- The 50 newest runs of $function as of $now. What became of a run's rows is known once its
-- segments are committed.
WITH newest AS (
    FROM runs WHERE function = $function AND ts <= $now ORDER BY ts DESC LIMIT 50
),
written AS (
    SELECT
        run_id, sum(rows_committed)::BIGINT AS rows_new, sum(rows_refused)::BIGINT AS rows_refused
    FROM segments
    WHERE run_id IN (SELECT run_id FROM newest)
    GROUP BY run_id
)
SELECT
    run_id, ts, "trigger", outcome, error, rows_in, rows_out, rows_new, rows_refused, duration_ms,
    cpu_s, peak_rss_mb
FROM newest LEFT JOIN written USING (run_id)
ORDER BY ts DESC

-- Failures in a row of each function, in its newest source, within the last day. What the function
-- is not to blame for, a source or a disk that does not answer, neither counts nor ends a row.
WITH counted AS (
    SELECT
        function, ts,
        outcome IN ('failed', 'crashed', 'timed out', 'out of memory') AS failed
    FROM runs
    WHERE ts > $now - INTERVAL 1 DAY AND ts <= $now
        AND outcome NOT IN ('unreachable', 'not written')
    QUALIFY code_hash IS NOT DISTINCT FROM
        last_value(code_hash) OVER (
            PARTITION BY function ORDER BY ts
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
),
well AS (
    SELECT function, max(ts) FILTER (NOT failed) AS well_at FROM counted GROUP BY function
)
SELECT function, count(*) FILTER (failed AND (well_at IS NULL OR ts > well_at)) AS failures
FROM counted JOIN well USING (function)
GROUP BY function

-- Consecutive failures of each function, with its newest code, within the last day. An unreachable
-- source or disk is not the function's fault: such a run neither counts nor ends the sequence.
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
last_success AS (
    SELECT function, max(ts) FILTER (NOT failed) AS succeeded_at FROM counted GROUP BY function
)
SELECT function, count(*) FILTER (failed AND (succeeded_at IS NULL OR ts > succeeded_at)) AS failures
FROM counted JOIN last_success USING (function)
GROUP BY function

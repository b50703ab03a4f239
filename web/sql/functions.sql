-- Every function that ran in 31 days as of $now: its newest run and failure, and its runs of 24 h.
-- $failures are the outcomes of runs that failed. The result is public as /functions.json: its
-- column names stay.
WITH summed AS (
    SELECT
        function,
        arg_max({'ts': ts, 'trigger': "trigger", 'outcome': outcome, 'error': error}, ts) AS newest,
        arg_max({'ts': ts, 'error': error}, ts)
            FILTER (list_contains($failures, outcome)) AS failed,
        max(ts) FILTER (outcome IN ('ok', 'nothing')) AS well_at,
        count(*) FILTER (ts > $now - INTERVAL 1 DAY) AS runs_24h,
        count(*) FILTER (ts > $now - INTERVAL 1 DAY AND list_contains($failures, outcome))
            AS failed_24h,
        median(duration_ms) FILTER (ts > $now - INTERVAL 1 DAY) AS median_ms,
        max(duration_ms) FILTER (ts > $now - INTERVAL 1 DAY) AS longest_ms,
        max(peak_rss_mb) FILTER (ts > $now - INTERVAL 1 DAY) AS peak_rss_mb
    FROM runs
    WHERE ts > $now - INTERVAL 31 DAY AND ts <= $now
    GROUP BY function
)
SELECT
    function, newest.ts AS last_run, newest.trigger AS last_trigger, newest.outcome AS last_outcome,
    newest.error AS last_error, failed.ts AS failed_at, failed.error AS failed_error, well_at,
    runs_24h, failed_24h, round(median_ms, 1) AS median_ms, round(longest_ms, 1) AS longest_ms,
    round(peak_rss_mb, 1) AS peak_rss_mb
FROM summed
ORDER BY function

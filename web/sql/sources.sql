-- Every source as of $now: newest event of its file, samples committed, newest run, gaps, backfill.
-- The result is public as /sources.json: its column names stay.
-- After this host's clock was ahead, commits keep their order by times ahead of it: such a one counts
-- as of its creation. What was created ahead of the clock too counts when its time has come. Samples
-- may be ahead up to $latest.
WITH file_event AS (  -- in the order of the log
    SELECT
        source, least(max(ts), $now) AS told_at, arg_max(event, rowid) AS event,
        arg_max(detail, rowid) AS detail, arg_max(kind, rowid) FILTER (kind IS NOT NULL) AS kind
    FROM sources
    WHERE ts <= $now OR EXISTS (SELECT 1 FROM segments WHERE ts > $now AND created_at <= $now)
    GROUP BY source
),
commits AS (
    SELECT * REPLACE (CASE WHEN ts > $now THEN created_at ELSE ts END AS ts)
    FROM segments
    WHERE table_name = 'metrics' AND function IS NOT NULL AND least(ts, created_at) <= $now
),
committed AS (
    SELECT
        function AS source,
        least(max(last_ts) FILTER (last_ts <= $latest), $now) AS last_sample,
        coalesce(sum(rows_committed) FILTER (ts > $now - INTERVAL 5 MINUTE), 0) / 5.0 AS rows_per_min,
        coalesce(sum(rows_committed) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS rows_24h,
        coalesce(sum(rows_refused) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS refused_24h,
        coalesce(sum(values_clamped) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS clamped_24h,
        coalesce(sum(values_repeated) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS repeated_24h,
        arg_max(refusals, ts) FILTER (len(refusals) > 0 AND ts > $now - INTERVAL 1 DAY) AS refusals
    FROM commits
    GROUP BY function
),
newest_run AS (
    SELECT
        function AS source, max(ts) AS ran_at, arg_max(outcome, ts) AS outcome,
        arg_max(error, ts) AS error,
        max(ts) FILTER (outcome IN ('ok', 'nothing')) AS well_at
    FROM runs
    WHERE ts > $now - INTERVAL 7 DAY AND ts <= $now AND trigger != 'its source'
    GROUP BY function
),
up_to_date AS (  -- when the source last had no lag
    SELECT
        function,
        max(created_at) FILTER (last_ts >= created_at - INTERVAL 1 MINUTE) AS up_to_date_at
    FROM commits
    WHERE ts > $now - INTERVAL 1 DAY
    GROUP BY function
),
backfill AS (  -- samples committed since then, and their speed in seconds of data per second
    SELECT
        function AS source, min(created_at) AS behind_since, max(created_at) AS behind_at,
        min(first_ts) AS behind_from,
        (max(epoch(last_ts)) FILTER (created_at > $now - INTERVAL 90 SECOND)
            - min(epoch(last_ts)) FILTER (created_at > $now - INTERVAL 90 SECOND))
        / nullif(max(epoch(created_at))
            - min(epoch(created_at)) FILTER (created_at > $now - INTERVAL 90 SECOND), 0) AS pace
    FROM commits JOIN up_to_date USING (function)
    WHERE first_ts IS NOT NULL AND ts > $now - INTERVAL 1 DAY
        AND (up_to_date_at IS NULL OR created_at > up_to_date_at)
    GROUP BY function
),
periods AS (
    SELECT
        function AS source, first_ts,
        max(last_ts) OVER (
            PARTITION BY function ORDER BY first_ts
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
    FROM commits
    WHERE first_ts IS NOT NULL AND ts > $now - INTERVAL 7 DAY
),
gaps AS (
    SELECT source, list({'since': before, 'until': first_ts} ORDER BY before DESC)[:5] AS holes
    FROM periods
    WHERE first_ts - before > INTERVAL 5 MINUTE
    GROUP BY source
)
SELECT
    source, kind, event, detail, told_at, last_sample, rows_per_min, rows_24h, refused_24h,
    clamped_24h, repeated_24h, refusals, ran_at, outcome, error, well_at, holes, behind_since,
    behind_at, behind_from, pace
FROM file_event
FULL JOIN committed USING (source)
LEFT JOIN newest_run USING (source)
LEFT JOIN gaps USING (source)
LEFT JOIN backfill USING (source)
ORDER BY source

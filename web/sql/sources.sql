-- Every source as of $now: newest event of its file, samples committed, newest run, gaps, backfill.
-- The result is public as /sources.json: its column names stay.
WITH file_event AS (
    SELECT
        source, max(ts) AS told_at, arg_max(event, ts) AS event, arg_max(detail, ts) AS detail,
        arg_max(kind, ts) FILTER (kind IS NOT NULL) AS kind
    FROM sources
    WHERE ts <= $now
    GROUP BY source
),
committed AS (
    SELECT
        function AS source,
        max(last_ts) AS last_sample,
        coalesce(sum(rows_committed) FILTER (ts > $now - INTERVAL 5 MINUTE), 0) / 5.0 AS rows_per_min,
        coalesce(sum(rows_committed) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS rows_24h,
        coalesce(sum(rows_refused) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS refused_24h,
        coalesce(sum(values_clamped) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS clamped_24h,
        coalesce(sum(values_repeated) FILTER (ts > $now - INTERVAL 1 DAY), 0)::BIGINT AS repeated_24h,
        arg_max(refusals, ts) FILTER (len(refusals) > 0 AND ts > $now - INTERVAL 1 DAY) AS refusals
    FROM segments
    WHERE table_name = 'metrics' AND function IS NOT NULL AND ts <= $now
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
    FROM segments
    WHERE table_name = 'metrics' AND ts > $now - INTERVAL 1 DAY AND ts <= $now
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
    FROM segments JOIN up_to_date USING (function)
    WHERE table_name = 'metrics' AND first_ts IS NOT NULL AND ts > $now - INTERVAL 1 DAY AND ts <= $now
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
    FROM segments
    WHERE table_name = 'metrics' AND first_ts IS NOT NULL AND ts > $now - INTERVAL 7 DAY AND ts <= $now
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

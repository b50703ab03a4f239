-- Outages of processes: those that are down at $now, and those that ended in the 24 h before.
-- Lakes of earlier versions have the old names of the processes. The order of rows is that of events.
-- After this host's clock was ahead, commits have times ahead of it: then events from the future count.
WITH renamed AS (
    SELECT
        event, detail, rowid AS place, least(ts, $now) AS ts,
        CASE process
            WHEN 'keeper' THEN 'writer'
            WHEN 'collect' THEN 'collector'
            WHEN 'think' THEN 'engine'
            ELSE process
        END AS process
    FROM processes
    WHERE ts <= $now OR EXISTS (SELECT 1 FROM segments WHERE ts > $now AND created_at <= $now)
),
followed AS (
    SELECT *, lead(ts) OVER (PARTITION BY process ORDER BY place, ts, event) AS next_at
    FROM renamed
)
SELECT process, ts AS ended_at, detail, CASE WHEN next_at < ts THEN ts ELSE next_at END AS back_at
FROM followed
WHERE event = 'ended' AND (next_at IS NULL OR next_at > $now - INTERVAL 1 DAY)
    -- A restart by a person does not count as an outage.
    AND (detail IS DISTINCT FROM 'stopped with the system' OR next_at IS NULL
        OR next_at > ts + INTERVAL 1 MINUTE)
ORDER BY ended_at DESC

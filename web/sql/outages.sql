-- Outages of processes: those that are down at $now, and those that ended in the 24 h before.
-- Lakes of earlier versions have the old names of the processes.
WITH renamed AS (
    SELECT * REPLACE (
        CASE process
            WHEN 'keeper' THEN 'writer'
            WHEN 'collect' THEN 'collector'
            WHEN 'think' THEN 'engine'
            ELSE process
        END AS process
    )
    FROM processes
    WHERE ts <= $now
)
SELECT
    process, ts AS ended_at, detail,
    lead(ts) OVER (PARTITION BY process ORDER BY ts, event) AS back_at
FROM renamed
QUALIFY event = 'ended' AND (back_at IS NULL OR back_at > $now - INTERVAL 1 DAY)
    -- A restart by a person is no outage.
    AND (detail IS DISTINCT FROM 'stopped with the system' OR back_at IS NULL
        OR back_at > ts + INTERVAL 1 MINUTE)
ORDER BY ended_at DESC

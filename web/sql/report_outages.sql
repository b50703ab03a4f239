-- How long each process was down from $since to $until, as of $now; planned stops are left out.
WITH followed AS (
    SELECT
        process, event, detail, ts,
        lead(ts) OVER (PARTITION BY process ORDER BY rowid, ts, event) AS next_at
    FROM processes
    WHERE ts <= $now
),
outages AS (
    SELECT process, greatest(ts, $since) AS begins, least(coalesce(next_at, $now), $until, $now) AS ends
    FROM followed
    WHERE event = 'ended' AND detail IS DISTINCT FROM 'stopped with the system'
)
SELECT process, count(*) AS outages, sum(epoch(ends - begins)) AS down_s
FROM outages
WHERE ends > begins
GROUP BY process
ORDER BY down_s DESC

-- The 5-minute steps from $start to $stop of which there are more samples than they were rolled up from.
WITH steps AS (
    SELECT
        server, time_bucket(INTERVAL 5 MINUTE, ts) AS ts,
        avg(columns({metrics})) AS '\0_mean',
        max(columns({metrics})) AS '\0_max',
        least(count(columns({metrics})), 32767) AS '\0_count'
    FROM metrics
    WHERE ts >= $start AND ts < $stop
    GROUP BY ALL
)
SELECT steps.*
FROM steps
ANTI JOIN metrics_5m AS held ON
    held.server = steps.server AND held.ts = steps.ts
    AND held.ts >= $start AND held.ts < $stop
    AND {held_counts}
ORDER BY server, ts

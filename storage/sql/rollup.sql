-- Complete 5-minute steps that samples committed after $cursor touched, where there are more samples now.
WITH touched AS (
    SELECT time_bucket(INTERVAL 5 MINUTE, min(first_ts)) AS start
    FROM segments
    WHERE table_name = 'metrics' AND rows_committed > 0 AND ts > $cursor
),
steps AS (
    SELECT
        server, time_bucket(INTERVAL 5 MINUTE, ts) AS ts,
        avg(columns({metrics})) AS '\0_mean',
        max(columns({metrics})) AS '\0_max',
        count(columns({metrics})) AS '\0_count'
    FROM metrics
    WHERE ts >= (SELECT start FROM touched) AND ts < $until
    GROUP BY ALL
)
SELECT steps.*
FROM steps
ANTI JOIN metrics_5m AS held ON
    held.server = steps.server AND held.ts = steps.ts
    AND held.ts >= (SELECT start FROM touched)
    AND {held_counts}
ORDER BY server, ts

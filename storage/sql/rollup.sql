-- Roll-ups of the 5-minute steps from $start to $stop whose stored roll-up lacks samples.
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
ANTI JOIN metrics_5m AS stored ON
    stored.server = steps.server AND stored.ts = steps.ts
    AND stored.ts >= $start AND stored.ts < $stop
    AND {stored_counts}
ORDER BY server, ts

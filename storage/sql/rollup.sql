-- Roll-ups of the 5-minute steps from $start to $stop whose stored roll-up lacks samples.
-- Of each metric the roll-up of more samples counts: the raw samples of old steps were deleted.
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
SELECT server, ts, {merged}
FROM steps
LEFT JOIN (FROM metrics_5m WHERE ts >= $start AND ts < $stop) AS stored USING (server, ts)
WHERE stored.server IS NULL OR NOT ({stored_counts})
ORDER BY server, ts

-- Number of steps from $since to $until whose stored roll-up lacks samples.
WITH steps AS (
    SELECT server, time_bucket(INTERVAL 5 MINUTE, ts) AS ts, {counts}
    FROM metrics
    WHERE ts >= $since AND ts < $until
    GROUP BY ALL
)
SELECT count(*)
FROM steps
ANTI JOIN metrics_5m AS stored ON
    stored.server = steps.server AND stored.ts = steps.ts
    AND stored.ts >= $since AND stored.ts < $until
    AND {stored_counts}

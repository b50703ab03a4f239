-- How many steps from $since to $until have samples that their roll-up does not have.
WITH steps AS (
    SELECT server, time_bucket(INTERVAL 5 MINUTE, ts) AS ts, {counts}
    FROM metrics
    WHERE ts >= $since AND ts < $until
    GROUP BY ALL
)
SELECT count(*)
FROM steps
ANTI JOIN metrics_5m AS held ON
    held.server = steps.server AND held.ts = steps.ts
    AND held.ts >= $since AND held.ts < $until
    AND {held_counts}

-- Hours with forecasts before $until that commits after $cursor changed, and all after $since.
WITH forecast AS (
    SELECT time_bucket(INTERVAL 1 HOUR, min(issued_at)) AS since FROM forecasts
),
commits AS (
    SELECT ts, first_ts, last_ts
    FROM segments
    WHERE table_name = 'metrics_5m' AND rows_committed > 0 AND last_ts >= $oldest
),
changed AS (
    SELECT
        unnest(range(
            time_bucket(INTERVAL 1 HOUR, greatest(first_ts, $oldest)),
            least(last_ts + INTERVAL 1 MICROSECOND, $until),
            INTERVAL 1 HOUR
        )) AS hour
    FROM commits
    WHERE ts > $cursor
    UNION ALL
    SELECT unnest(range(greatest($since, $oldest), $until, INTERVAL 1 HOUR))
)
SELECT
    (SELECT max(ts) FROM commits) AS cursor,
    (
        SELECT list(DISTINCT hour ORDER BY hour)
        FROM changed, forecast
        WHERE hour >= $oldest AND hour >= forecast.since
    ) AS hours

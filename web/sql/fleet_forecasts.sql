-- The state of the newest forecast of each server since $since, as of $now.
SELECT
    server, max(issued_at) AS forecast_at, max(made_at) AS forecast_made_at,
    CASE
        WHEN bool_or(state = 'ok') THEN 'ok'
        WHEN bool_or(state = 'early') THEN 'early'
        ELSE 'abstained'
    END AS forecast_state,
    mode(why) FILTER (state != 'ok') AS forecast_why
FROM (
    SELECT * FROM forecasts
    WHERE issued_at > $since AND issued_at <= $now
    QUALIFY issued_at = max(issued_at) OVER (PARTITION BY server)
)
GROUP BY server

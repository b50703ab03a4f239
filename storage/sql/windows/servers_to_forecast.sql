-- Servers after $after without a forecast from $issued_at, or that abstained and have more context since.
WITH made AS (
    SELECT server, bool_or(state != 'abstained') AS forecast, max(context_steps) AS context_steps
    FROM forecasts
    WHERE issued_at = $issued_at
    GROUP BY server
),
grown AS (  -- history that arrived after the abstention
    SELECT made.server
    FROM metrics_5m
    JOIN made ON made.server = metrics_5m.server AND NOT made.forecast
    WHERE ts >= $start AND ts < $issued_at
    GROUP BY made.server, made.context_steps
    HAVING {steps} > made.context_steps AND {steps} >= $least AND max(ts) >= $fresh_since
)
SELECT server
FROM servers
WHERE server > $after
    AND (server NOT IN (SELECT server FROM made) OR server IN (SELECT server FROM grown))
ORDER BY server
LIMIT $limit

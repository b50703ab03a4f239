-- Odds issued from $start to $now of series that reached odds that matter after $recent, or are watched.
WITH candidates AS (
    SELECT server, metric
    FROM odds
    WHERE issued_at > $recent AND issued_at <= $now AND ({reached})
    UNION
    SELECT unnest(CAST($servers AS VARCHAR[])), unnest(CAST($metrics AS VARCHAR[]))
)
SELECT odds.*
FROM odds
SEMI JOIN candidates USING (server, metric)
WHERE issued_at > $start AND issued_at <= $now
ORDER BY server, metric, issued_at

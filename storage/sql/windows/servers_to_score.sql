-- Servers after $after whose samples in the hour from $start are not those that were scored.
WITH truth AS (
    SELECT server, CAST(sum({samples}) AS BIGINT) AS samples
    FROM metrics_5m
    WHERE ts >= $start AND ts < $stop AND server > $after
    GROUP BY server
),
scored AS (
    SELECT server, sum(samples) AS samples
    FROM (
        SELECT server, metric, max(samples) AS samples
        FROM scores
        WHERE ts = $start AND server > $after
        GROUP BY server, metric
    )
    GROUP BY server
)
SELECT server
FROM truth
LEFT JOIN scored USING (server)
WHERE truth.samples IS DISTINCT FROM scored.samples
ORDER BY server
LIMIT $limit

-- The part of each server's newest forecast that lies in the future.
SELECT points.*
FROM forecast_points AS points
SEMI JOIN (
    SELECT server, metric, max(issued_at) AS issued_at
    FROM forecasts
    WHERE issued_at > {now} - INTERVAL 8 HOUR AND issued_at <= {now} AND p50 IS NOT NULL
    GROUP BY ALL
) AS newest USING (server, metric, issued_at)
WHERE points.issued_at > {now} - INTERVAL 8 HOUR AND points.ts > {now}

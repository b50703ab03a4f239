-- Hours of each day in which no forecast of a metric was served, by reason.
SELECT
    server, metric, date_trunc('day', issued_at) AS day,
    CASE
        WHEN model IS NULL THEN 'no model'
        WHEN starts_with(why, 'only ') THEN 'few readings'
        ELSE regexp_extract(why, '^(no data|[^:,]+)', 1)
    END AS reason,
    count(*) AS forecasts, count(*) / 12.0 AS hours
FROM forecasts
WHERE state = 'abstained' AND issued_at <= {now}
GROUP BY ALL

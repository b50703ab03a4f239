-- Each of the 30 days before $now: accuracy, share inside the 80 % band, loss beside the naive ones.
SELECT
    date_trunc('day', ts) AS day,
    sum(within_10) / nullif(sum(targets) FILTER (within_10 IS NOT NULL), 0) AS accuracy,
    sum(inside_80) / nullif(sum(moving) FILTER (inside_80 IS NOT NULL), 0) AS inside_80,
    sum(targets) AS targets, coalesce(bool_and(replayed), false) AS replayed
FROM scores
WHERE ts > $now - INTERVAL 30 DAY AND ts <= $now AND targets > 0 AND shadow = 0
GROUP BY day
ORDER BY day

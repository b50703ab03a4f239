-- A month of scores as of $now, of each metric and of all (NULL): what was promised, and what came.
SELECT
    metric,
    sum(targets) FILTER (shadow = 0) AS targets,
    sum(within_10) FILTER (shadow = 0)
        / nullif(sum(targets) FILTER (shadow = 0 AND within_10 IS NOT NULL), 0) AS accuracy,
    sum(inside_50) FILTER (shadow = 0) / nullif(sum(moving) FILTER (shadow = 0), 0) AS inside_50,
    sum(inside_80) FILTER (shadow = 0) / nullif(sum(moving) FILTER (shadow = 0), 0) AS inside_80,
    sum(inside_96) FILTER (shadow = 0) / nullif(sum(moving) FILTER (shadow = 0), 0) AS inside_96,
    sum(inside_80_model) FILTER (shadow = 0)
        / nullif(sum(moving) FILTER (shadow = 0), 0) AS inside_80_model,
    1 - sum(loss) FILTER (shadow = 0) / nullif(sum(error_seasonal) FILTER (shadow = 0), 0)
        AS seasonal_skill,
    1 - sum(loss) FILTER (shadow = 0) / nullif(sum(error_naive) FILTER (shadow = 0), 0) AS skill,
    sum(abstained) / nullif(sum(targets) - sum(shadow) + sum(abstained), 0) AS blind,
    count(DISTINCT server) AS servers, count(DISTINCT ts) AS hours, min(ts) AS first_hour,
    max(ts) AS last_hour
FROM scores
WHERE ts >= $since AND ts < $until AND ts <= $now
GROUP BY GROUPING SETS ((metric), ())
ORDER BY metric NULLS FIRST
